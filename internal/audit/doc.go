// Package audit remembers who did what to the reservations, and explains what
// came of it.
//
// # The trail
//
// Every reservation command, granted or refused, every login and every
// operator's change becomes an [Entry]: who, from where, what was asked, what
// it changed, what was answered and how long the losers' calls had to be waited
// for. A [Trail] keeps the entries in numbered files of JSON lines in one
// directory, rotates them, and answers queries, newest first.
//
// Writing never delays a command: the caller leaves what happened in a bounded
// queue, one goroutine makes entries of it, writes them in batches and syncs
// the file once a second. What was written survives a killed process; a power
// cut may take the last second. If the queue is full the entry is lost, and an
// entry that says how many were lost takes its place.
//
// # Origins
//
// Files rotate away while a registration stands for years. So each file begins
// with a checkpoint: for every unit, which command made each present right what
// it is ([Origins]). Opening the trail reads the newest file only.
//
// # Diagnosis
//
// [Diagnose] is a function of a reservation state, the live sessions and the
// origins. It finds what people find too late: a registration whose session has
// another ISID now, a holder that is gone, a disk nobody may write to.
package audit
