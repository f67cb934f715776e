package backtest

import (
	"sync"
	"time"

	"nas-target/internal/backstore"
)

// Log records every change that reached the volume, in an order that all
// observers share: a fence test marks the moment of GOOD and asks what was
// still applied after it.
type Log struct {
	backstore.Volume

	mu      sync.Mutex
	seq     uint64
	entries []Entry
	keep    int
}

// Entry is one call that returned. It was applied at some moment between Begin
// and End.
type Entry struct {
	Op         Op
	Off, Len   int64
	Src        int64
	Data       []byte // the first bytes written, as many as Keep said
	Err        error  // the volume's answer; a failed call may be applied in part
	Begin, End uint64 // places in the common order
	At         time.Time
}

// NewLog wraps v.
func NewLog(v backstore.Volume) *Log {
	l := &Log{keep: 64}
	l.Volume = Wrap(v, l.around)
	return l
}

// Keep sets how many bytes of each write are recorded from now on; 64 at first.
func (l *Log) Keep(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep = n
}

// Mark is a place in the common order: every call that returned before has a
// smaller End, every call that starts later a larger Begin.
func (l *Log) Mark() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	return l.seq
}

// Entries are all changes, in the order in which they returned.
func (l *Log) Entries() []Entry { return l.After(0) }

// After are the changes that may have been applied after mark.
func (l *Log) After(mark uint64) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Entry
	for _, e := range l.entries {
		if e.End > mark {
			found = append(found, e)
		}
	}
	return found
}

func (l *Log) around(c *Call, do func() error) error {
	if !c.Op.Changes() && c.Op != OpSync && c.Op != OpResize {
		return do()
	}
	l.mu.Lock()
	e := Entry{Op: c.Op, Off: c.Off, Len: c.Len, Src: c.Src, Data: append([]byte(nil), c.Data[:min(l.keep, len(c.Data))]...)}
	l.seq++
	e.Begin = l.seq
	l.mu.Unlock()

	e.Err = do()

	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.End, e.At = l.seq, time.Now()
	l.entries = append(l.entries, e)
	return e.Err
}
