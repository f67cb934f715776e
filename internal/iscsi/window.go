package iscsi

import "nas-target/internal/iscsi/pdu"

// window is the command window of a session: which CmdSN comes next and how
// many commands the initiator may send. RFC 7143 §4.2.2.1. It is pure and not
// safe for concurrent use.
//
// Every command that was taken holds a slot until its response is sent, so
// MaxCmdSN-ExpCmdSN+1 is always what we still have room for.
type window struct {
	exp   pdu.Serial // ExpCmdSN: the next in order
	max   pdu.Serial // MaxCmdSN as promised; never moves back
	depth int32      // slots
	live  int32      // slots in use
	early []uint64   // one bit per CmdSN beyond exp that came before its turn
	ahead int32      // bits set in early
}

// newWindow opens a window of depth commands, the first of which is first.
func newWindow(first pdu.Serial, depth int) window {
	words := 1
	for words*64 < depth {
		words *= 2
	}
	return window{exp: first, max: first.Add(depth - 1), depth: int32(depth), early: make([]uint64, words)}
}

// arrival says what to do with a numbered request.
type arrival uint8

const (
	ignore  arrival = iota // outside the window, or there already
	inOrder                // its turn
	early                  // in the window, but others come first
)

// classify tells what sn is, and changes nothing.
func (w *window) classify(sn pdu.Serial) arrival {
	switch {
	case !sn.In(w.exp, w.max) || w.has(sn):
		return ignore
	case sn == w.exp:
		return inOrder
	}
	return early
}

// take accepts the request whose turn it is.
func (w *window) take() {
	w.exp++
	w.live++
}

// hold notes a request that came early.
func (w *window) hold(sn pdu.Serial) {
	w.early[w.word(sn)] |= w.bit(sn)
	w.ahead++
}

// due reports whether the next in order came early; the caller takes it.
func (w *window) due() bool {
	if w.ahead == 0 || !w.has(w.exp) {
		return false
	}
	w.early[w.word(w.exp)] &^= w.bit(w.exp)
	w.ahead--
	return true
}

// release gives back the slots of n requests that were answered, or that ended
// without an answer.
func (w *window) release(n int32) {
	w.live -= n
	if m := w.exp.Add(int(w.depth - w.live - 1)); w.max.Before(m) {
		w.max = m
	}
}

// closed reports whether the initiator may not send another command.
func (w *window) closed() bool { return w.max.Before(w.exp) }

func (w *window) has(sn pdu.Serial) bool   { return w.early[w.word(sn)]&w.bit(sn) != 0 }
func (w *window) word(sn pdu.Serial) int   { return int(sn/64) & (len(w.early) - 1) }
func (w *window) bit(sn pdu.Serial) uint64 { return 1 << (sn % 64) }
