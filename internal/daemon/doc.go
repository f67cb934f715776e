// Package daemon turns a configuration into a running target and ends it
// again. It builds every live object and owns it: nothing below knows who
// opened it or who will close it.
//
// # Start
//
// The data directory first, since it decides who we are and keeps a second
// daemon out; then what operators made by command, which is kept there; then
// for each LUN its medium, its reservations and its unit; then the targets; and
// last the portals. An initiator that comes back after a restart finds either
// nobody listening or everything there: "target not found" would make it give
// up. A LUN that cannot be opened is there and not ready (absent.go).
//
// # Change
//
// What runs is one immutable picture (running.go) that a change replaces whole:
// reload.go does first all that can fail, and undoes it if any of it does;
// configure.go is what operators ask for, managed.go where it is kept. A target
// outlives its pictures and tells its nexuses what became different for them
// (target.go). Units that nobody sees any more are closed aside (retire.go).
//
// # Life
//
// The goroutines belong to the packages below: iscsi's for portals and
// connections, scsi's workers while they have work, one for each audit trail,
// admin's for its doors. The daemon itself has none but a look at a medium's
// space that may hang (space.go), units that are being closed (retire.go), and
// the writing of marks (mark.go).
//
// News from below become log lines in news.go. What happened to a reservation,
// who logged in and what operators did goes to the audit trails first, and from
// there to the log and to whoever watches (told.go). The admin API asks
// control.go, which reads the live objects and never waits for I/O.
//
// # End
//
// Stop asks initiators to log out, waits as long as it may, closes what is
// left, then the units' media and reservations, and lets go of the data
// directory last. When it returns no goroutine is left.
package daemon
