// Package socket makes system calls on non-blocking sockets without telling
// Go's scheduler: there is nothing to wait for. Telling it costs little, but
// its watchdog would hand the processor to another thread in the middle of a
// long copy.
//
// The caller owns the descriptor and sees to it that it stays open during the
// call. Errors are bare errnos.
package socket
