package backstore

import (
	"context"
	"sync/atomic"
)

// NullOptions are the options of kind "null".
type NullOptions struct {
	Size int64 `json:"size" doc:"length in bytes"`
}

// Null reads zeros and forgets what is written: it costs nothing, so what a
// measurement shows is the protocol.
type Null struct {
	size   atomic.Int64
	closed atomic.Bool
}

var _ Volume = (*Null)(nil)

func openNull(_ context.Context, o NullOptions) (Store, error) { return NewNull(o) }

// NewNull makes a null store.
func NewNull(o NullOptions) (*Null, error) {
	if o.Size <= 0 {
		return nil, &Error{Op: "open", Reason: ReasonSizeMissing}
	}
	n := &Null{}
	n.size.Store(o.Size)
	return n, nil
}

func (n *Null) check(op string, off, length int64) error {
	if n.closed.Load() {
		return &Error{Op: op, Reason: ReasonClosed}
	}
	return checkRange(off, length, n.size.Load())
}

// Size keeps the Store contract.
func (n *Null) Size() int64 { return n.size.Load() }

// ReadAt fills p with zeros.
func (n *Null) ReadAt(p []byte, off int64) (int, error) {
	if err := n.check("read", off, int64(len(p))); err != nil {
		return 0, err
	}
	clear(p)
	return len(p), nil
}

// TryReadAt is ReadAt.
func (n *Null) TryReadAt(p []byte, off int64) (bool, error) {
	_, err := n.ReadAt(p, off)
	return true, err
}

// WriteAt forgets p.
func (n *Null) WriteAt(p []byte, off int64) (int, error) {
	if err := n.check("write", off, int64(len(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteDurable is WriteAt.
func (n *Null) WriteDurable(p []byte, off int64) error { return n.check("write", off, int64(len(p))) }

// WriteAtomic cannot be had: what is written is not there afterwards.
func (n *Null) WriteAtomic([]byte, int64) error {
	return &Error{Op: "write", Reason: ReasonUnsupported}
}

// Atomic keeps the Volume contract.
func (n *Null) Atomic() (unit, most int64) { return 0, 0 }

// Sync has nothing to do.
func (n *Null) Sync() error { return n.check("sync", 0, 0) }

// Discard has nothing to do.
func (n *Null) Discard(off, length int64) error { return n.check("discard", off, length) }

// WriteZeros has nothing to do.
func (n *Null) WriteZeros(off, length int64) error { return n.check("write zeros", off, length) }

// NextExtent calls everything unmapped.
func (n *Null) NextExtent(off int64) (int64, bool, error) {
	if err := n.check("seek", off, 1); err != nil {
		return 0, false, err
	}
	return n.size.Load() - off, false, nil
}

// CopyRange copies zeros over zeros.
func (n *Null) CopyRange(dst, src, length int64) (int64, error) {
	if err := n.check("copy", src, length); err != nil {
		return 0, err
	}
	return length, n.check("copy", dst, length)
}

// CopyFrom has no shorter way than the caller.
func (n *Null) CopyFrom(any, int64, int64, int64) (int64, bool, error) { return 0, false, nil }

// Geometry keeps the Volume contract.
func (n *Null) Geometry() Geometry { return Geometry{PhysicalBlock: 4096, Thin: true} }

// Allocated is nothing.
func (n *Null) Allocated() (int64, error) { return 0, nil }

// Free is all of it.
func (n *Null) Free() (int64, error) { return n.size.Load(), nil }

// Resize keeps the Volume contract.
func (n *Null) Resize(size int64) error {
	if err := n.check("resize", 0, 0); err != nil {
		return err
	}
	if old := n.size.Load(); size < old {
		return refuseShrink("", old, size)
	}
	n.size.Store(size)
	return nil
}

// Close keeps the package contract.
func (n *Null) Close() error {
	if n.closed.Swap(true) {
		return &Error{Op: "close", Reason: ReasonClosed}
	}
	return nil
}
