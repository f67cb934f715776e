// Package pool lends payload buffers in size classes.
//
// A buffer belongs to exactly one holder at a time: the task while its command
// runs, the connection's outgoing batch until the last byte is written, then
// the pool. Release by a holder that no longer owns the buffer is a bug that
// shows another host's data on the wire; tests switch Poison on to see it.
//
// It has no goroutines and keeps no buffer alive: what is not lent belongs to
// the garbage collector.
package pool
