package backtest

import (
	"errors"
	"math/rand/v2"
	"sync"

	"nas-target/internal/backstore"
)

// crashAtomic is the longest write that a power cut does not tear, in bytes.
const crashAtomic = 256 << 10

// ErrPowerLost is what every call on a medium returns after its power cut.
var ErrPowerLost = errors.New("power lost")

// Crash is a medium in memory with a volatile cache. A power cut keeps what
// was synced and any part of the rest, torn at 512 bytes, discards included.
// Close without Sync drops all that was not synced: nobody may rely on a
// cache that happened to be written back.
type Crash struct {
	disk *crashDisk
	dead error // why this handle answers no more; guarded by disk.mu
}

// crashDisk is what stays when a handle dies.
type crashDisk struct {
	mu     sync.Mutex
	data   *sectors
	size   int64
	handle *Crash // the live one, or nil
}

var _ backstore.Volume = (*Crash)(nil)

// NewCrash makes a medium of zeros.
func NewCrash(size int64) *Crash {
	d := &crashDisk{data: newSectors(), size: size}
	return d.attach()
}

// attach makes the live handle; mu is held, or d is new.
func (d *crashDisk) attach() *Crash {
	d.handle = &Crash{disk: d}
	return d.handle
}

// detach ends the live handle, if there is one; mu is held.
func (d *crashDisk) detach(why error) {
	if d.handle != nil {
		d.handle.dead = why
		d.handle = nil
	}
}

// Crash cuts the power at this moment: the live handle is dead, what is
// returned is the medium after the power came back. The same seed after the same
// calls keeps the same sectors.
func (c *Crash) Crash(seed uint64) *Crash {
	d := c.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	d.detach(ErrPowerLost)
	d.data.crash(rand.New(rand.NewPCG(seed, seed)))
	return d.attach()
}

// Reopen opens the medium of a closed handle.
func (c *Crash) Reopen() (*Crash, error) {
	d := c.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handle != nil {
		return nil, &backstore.Error{Op: "open", Reason: backstore.ReasonLocked}
	}
	return d.attach(), nil
}

// Dirty is the number of sectors that a power cut now could lose.
func (c *Crash) Dirty() int {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	return len(c.disk.data.pending)
}

// do runs f on the medium if the handle is alive and the range is inside.
func (c *Crash) do(off, n int64, f func(d *sectors)) error {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	if c.dead != nil {
		return c.dead
	}
	if off < 0 || n < 0 || off > c.disk.size || n > c.disk.size-off {
		return &backstore.RangeError{Off: off, Len: n, Size: c.disk.size}
	}
	f(c.disk.data)
	return nil
}

func moved(p []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadAt keeps the Store contract.
func (c *Crash) ReadAt(p []byte, off int64) (int, error) {
	return moved(p, c.do(off, int64(len(p)), func(d *sectors) { d.read(p, off) }))
}

// TryReadAt is ReadAt.
func (c *Crash) TryReadAt(p []byte, off int64) (bool, error) {
	_, err := c.ReadAt(p, off)
	return true, err
}

// WriteAt keeps the Store contract.
func (c *Crash) WriteAt(p []byte, off int64) (int, error) {
	return moved(p, c.do(off, int64(len(p)), func(d *sectors) { d.write(p, off) }))
}

// WriteDurable keeps the Volume contract.
func (c *Crash) WriteDurable(p []byte, off int64) error {
	return c.do(off, int64(len(p)), func(d *sectors) {
		d.write(p, off)
		d.flushRange(off, int64(len(p)), d.beginFlush())
	})
}

// WriteAtomic keeps the Volume contract.
func (c *Crash) WriteAtomic(p []byte, off int64) error {
	if (off|int64(len(p)))%sectorSize != 0 || len(p) > crashAtomic {
		return &backstore.Error{Op: "write", Reason: backstore.ReasonUnaligned}
	}
	return c.do(off, int64(len(p)), func(d *sectors) { d.writeAtomic(p, off) })
}

// Atomic keeps the Volume contract.
func (c *Crash) Atomic() (unit, most int64) { return sectorSize, crashAtomic }

// Sync keeps the Store contract.
func (c *Crash) Sync() error { return c.do(0, 0, (*sectors).flush) }

// Discard keeps the Volume contract.
func (c *Crash) Discard(off, n int64) error {
	return c.do(off, n, func(d *sectors) { d.zero(off, n) })
}

// WriteZeros is Discard.
func (c *Crash) WriteZeros(off, n int64) error { return c.Discard(off, n) }

// NextExtent keeps the Volume contract.
func (c *Crash) NextExtent(off int64) (n int64, mapped bool, err error) {
	err = c.do(off, 1, func(d *sectors) {
		n, mapped = d.extent(off, c.disk.size)
	})
	return n, mapped, err
}

// CopyRange keeps the Volume contract.
func (c *Crash) CopyRange(dst, src, n int64) (int64, error) {
	err := c.do(src, n, func(*sectors) {})
	if err == nil {
		err = c.do(dst, n, func(d *sectors) {
			p := make([]byte, n)
			d.read(p, src)
			d.write(p, dst)
		})
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// CopyFrom has no shorter way than the caller.
func (c *Crash) CopyFrom(any, int64, int64, int64) (int64, bool, error) { return 0, false, nil }

// Geometry keeps the Volume contract.
func (c *Crash) Geometry() backstore.Geometry {
	return backstore.Geometry{PhysicalBlock: sectorSize, DiscardGranularity: sectorSize, WriteCache: true, Thin: true}
}

// Size keeps the Store contract.
func (c *Crash) Size() int64 {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	return c.disk.size
}

// Allocated keeps the Volume contract.
func (c *Crash) Allocated() (n int64, err error) {
	err = c.do(0, 0, func(d *sectors) { n = int64(len(d.current)) * sectorSize })
	return n, err
}

// Free keeps the Volume contract.
func (c *Crash) Free() (int64, error) {
	n, err := c.Allocated()
	return c.Size() - n, err
}

// Resize keeps the Volume contract.
func (c *Crash) Resize(n int64) (err error) {
	if alive := c.do(0, 0, func(*sectors) {
		if n < c.disk.size {
			err = &backstore.Error{Op: "resize", Reason: backstore.ReasonShrinkRefused}
			return
		}
		c.disk.size = n
	}); alive != nil {
		return alive
	}
	return err
}

// Close drops all that was not synced.
func (c *Crash) Close() error {
	return c.do(0, 0, func(d *sectors) {
		d.drop()
		c.disk.detach(&backstore.Error{Op: "close", Reason: backstore.ReasonClosed})
	})
}
