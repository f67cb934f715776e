// Package daemon turns a configuration into a running target and ends it
// again. It builds every live object and owns it: nothing below knows who
// opened it or who will close it.
//
// # Start
//
// The data directory first, since it decides who we are and keeps a second
// daemon out; then for each LUN its medium, its reservations and its unit; then
// the targets; and last the portals. An initiator that comes back after a
// restart finds either nobody listening or everything there: "target not found"
// would make it give up.
//
// # Life
//
// The goroutines belong to the packages below: iscsi's for portals and
// connections, scsi's workers while they have work, one for each audit trail,
// admin's for its doors. The daemon itself has none but a look at a medium's
// space that may hang (space.go).
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
