package backtest

import "nas-target/internal/backstore"

// Op names one kind of call of a Volume.
type Op string

// The calls that a wrapped Volume passes through its layer.
const (
	OpRead         Op = "read" // ReadAt and TryReadAt
	OpWrite        Op = "write"
	OpWriteDurable Op = "write durable"
	OpWriteAtomic  Op = "write atomic"
	OpSync         Op = "sync"
	OpDiscard      Op = "discard"
	OpWriteZeros   Op = "write zeros"
	OpExtent       Op = "extent"
	OpCopy         Op = "copy" // CopyRange and CopyFrom
	OpResize       Op = "resize"
	OpClose        Op = "close"
)

// Ops lists every Op.
func Ops() []Op {
	return []Op{OpRead, OpWrite, OpWriteDurable, OpWriteAtomic, OpSync, OpDiscard, OpWriteZeros, OpExtent, OpCopy, OpResize, OpClose}
}

// Changes is true for the calls that change what is read later.
func (o Op) Changes() bool {
	switch o {
	case OpWrite, OpWriteDurable, OpWriteAtomic, OpDiscard, OpWriteZeros, OpCopy:
		return true
	}
	return false
}

// Call is one call on its way to a Volume.
type Call struct {
	Op       Op
	Off, Len int64
	Src      int64  // OpCopy
	Data     []byte // OpRead, OpWrite and its kin: what the volume is given
	N        int64  // bytes moved, once the call has returned
}

// Wrap puts around between the callers of v and v. It is called for each call
// and decides whether, when and with how much Data do runs.
func Wrap(v backstore.Volume, around func(c *Call, do func() error) error) backstore.Volume {
	return &layer{v, around}
}

type layer struct {
	backstore.Volume
	around func(c *Call, do func() error) error
}

func (l *layer) ReadAt(p []byte, off int64) (int, error) {
	c := Call{Op: OpRead, Off: off, Len: int64(len(p)), Data: p}
	err := l.around(&c, func() error {
		n, err := l.Volume.ReadAt(c.Data, off)
		c.N = int64(n)
		return err
	})
	return int(c.N), err
}

func (l *layer) TryReadAt(p []byte, off int64) (ok bool, err error) {
	c := Call{Op: OpRead, Off: off, Len: int64(len(p)), Data: p}
	err = l.around(&c, func() error {
		ok, err = l.Volume.TryReadAt(c.Data, off)
		return err
	})
	return ok || err != nil, err
}

func (l *layer) WriteAt(p []byte, off int64) (int, error) {
	c := Call{Op: OpWrite, Off: off, Len: int64(len(p)), Data: p}
	err := l.around(&c, func() error {
		n, err := l.Volume.WriteAt(c.Data, off)
		c.N = int64(n)
		return err
	})
	return int(c.N), err
}

func (l *layer) WriteDurable(p []byte, off int64) error {
	c := Call{Op: OpWriteDurable, Off: off, Len: int64(len(p)), Data: p}
	return l.around(&c, func() error { return l.Volume.WriteDurable(c.Data, off) })
}

func (l *layer) WriteAtomic(p []byte, off int64) error {
	c := Call{Op: OpWriteAtomic, Off: off, Len: int64(len(p)), Data: p}
	return l.around(&c, func() error { return l.Volume.WriteAtomic(c.Data, off) })
}

func (l *layer) Sync() error {
	return l.around(&Call{Op: OpSync}, l.Volume.Sync)
}

func (l *layer) Discard(off, n int64) error {
	return l.around(&Call{Op: OpDiscard, Off: off, Len: n}, func() error { return l.Volume.Discard(off, n) })
}

func (l *layer) WriteZeros(off, n int64) error {
	return l.around(&Call{Op: OpWriteZeros, Off: off, Len: n}, func() error { return l.Volume.WriteZeros(off, n) })
}

func (l *layer) NextExtent(off int64) (n int64, mapped bool, err error) {
	err = l.around(&Call{Op: OpExtent, Off: off}, func() error {
		n, mapped, err = l.Volume.NextExtent(off)
		return err
	})
	return n, mapped, err
}

func (l *layer) CopyRange(dst, src, n int64) (int64, error) {
	c := Call{Op: OpCopy, Off: dst, Src: src, Len: n}
	err := l.around(&c, func() (err error) {
		c.N, err = l.Volume.CopyRange(dst, src, n)
		return err
	})
	return c.N, err
}

func (l *layer) CopyFrom(from any, src, dst, n int64) (done int64, ok bool, err error) {
	c := Call{Op: OpCopy, Off: dst, Src: src, Len: n}
	err = l.around(&c, func() error {
		c.N, ok, err = l.Volume.CopyFrom(from, src, dst, n)
		return err
	})
	return c.N, ok || err != nil, err
}

func (l *layer) Resize(n int64) error {
	return l.around(&Call{Op: OpResize, Len: n}, func() error { return l.Volume.Resize(n) })
}

func (l *layer) Close() error {
	return l.around(&Call{Op: OpClose}, l.Volume.Close)
}

// Failure is the wrapped volume's latch.
func (l *layer) Failure() error {
	if f, ok := l.Volume.(backstore.Failing); ok {
		return f.Failure()
	}
	return nil
}

// ClearFailure clears the wrapped volume's latch.
func (l *layer) ClearFailure() {
	if f, ok := l.Volume.(backstore.Failing); ok {
		f.ClearFailure()
	}
}
