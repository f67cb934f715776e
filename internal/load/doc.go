// Package load generates iSCSI load and measures what comes back, at less CPU per
// I/O than a target spends on it.
//
// # What it owns
//
// The sockets of a run. Each is logged in by package initiator, which also learns
// capacity and clears unit attentions; then the file descriptor is taken away from
// the Go network poller, and this package speaks for itself: commands are patched
// into preallocated memory, answers are parsed in place, nothing is allocated per
// I/O. It trusts the target as far as speed demands: numbering, offsets, lengths
// and status are checked, reserved bits are not; package initiator is the judge of
// conformance.
//
// # Goroutines
//
// Run starts a few workers (Options.Workers), each with its share of the sessions
// and an epoll descriptor. Whatever belongs to a session belongs to its worker. A
// turn of a worker reads one socket once, handles every answer that came, and
// writes all commands that became possible with one system call. Counters for the
// progress callback are published once per turn.
//
// # Life of an I/O
//
// A slot (its number is the Initiator Task Tag) is taken from the free list, the
// pattern gives it an address, the command goes to the outgoing batch. Data-In is
// skipped, or collected for verification; R2Ts are answered from the payload. The
// status ends it: its time goes to the histogram, the slot to the free list.
//
// # Waiting
//
// A worker without events waits in epoll_wait. An idle processor takes long to
// wake up, which at low queue depth is most of what a client sees; with
// Options.Poll the worker first looks at its sockets again and again for that
// time, so that both sides can be told apart.
package load
