// Package pr holds the rules of SCSI persistent reservations as values and
// functions: no CDB bytes, no file, no clock, no goroutine.
//
// # What it owns
//
// A State is everything that is remembered of one logical unit: registrations,
// the reservation, PRGENERATION, APTPL, and beside them the legacy reservation
// of SPC-2. A nexus is a value made of SCSI port names, so that a registration
// outlives sessions, restarts and heads.
//
// Step is the standard: a State, what surrounds the unit (Env) and a request
// (Op) go in; the next State, what else has to be done (Effect) and the answer
// (Verdict) come out. It is the same function for every store, every
// transport and every test, and is compared with the tables of the standard
// for every reachable state (oracletest).
//
// An Access is the part of a State that the I/O path needs: what each nexus
// may do, by Class of command. It is immutable.
//
// A Unit is the one mutable thing: it keeps a State in force. It is the only
// place with a lock.
//
// # The life of a PERSISTENT RESERVE OUT
//
// The device server parses the CDB and the parameter list into an Op and calls
// Unit.Apply, which
//
//  1. takes the unit's lock, so that one request at a time is processed;
//  2. calls Step; a refused request ends here, and nothing has changed;
//  3. if any nexus loses a right: publishes the Meet of the old and the new
//     Access, so that no call of a loser can begin, and calls the drain, which
//     returns when those under way have left the medium;
//  4. lets the Store save the new State, and returns it to the old Access if
//     that fails;
//  5. publishes the new Access and State and tells Events.
//
// The device server then carries out the Effects and answers. So a command
// that was answered with GOOD is in force, is saved, and nothing of a nexus
// that lost its right by it can reach the medium any more.
//
// PERSISTENT RESERVE IN reads Unit.State and the methods of State that give
// its parameter data as values; it never waits.
//
// # The life of a WRITE
//
// The data path loads Unit.Access, an atomic pointer, looks up the Rights of
// its nexus and asks whether they allow the command's Class: when the command
// begins, and again immediately before the medium is touched, inside whatever
// the drain waits for.
//
// # When the state is not known
//
// If the store says that the information is lost, or a state is read that the
// rules could not have made, the unit is in the condition InformationLost:
// nobody has any right until REPLACE LOST RESERVATION or an operator. If it
// cannot be read now, the condition is NotReady, until Reload succeeds.
//
// A State that breaks an invariant while the unit runs is a panic with *Broken
// that must end the process: see there.
package pr
