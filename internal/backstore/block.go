package backstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// BlockOptions are the options of kind "block".
type BlockOptions struct {
	Path         string        `json:"path" doc:"the block device: a disk, a partition, an md, LVM or ZFS volume"`
	Buffered     bool          `json:"buffered" default:"false" doc:"go through the page cache instead of O_DIRECT"`
	TrustDiscard bool          `json:"trust_discard" default:"false" doc:"discard blocks although the kernel does not promise that they read as zeros afterwards; right for LVM thin volumes, wrong for most disks"`
	LockWait     time.Duration `json:"lock_wait" default:"15s" doc:"how long to wait for another process, or the last write of a killed daemon, to let go of the device"`

	Files Files `json:"-"` // nil: Kernel
}

// Block is a store on a block device.
type Block struct {
	fdio
	geometry Geometry
	trust    bool
}

var _ interface {
	Volume
	Failing
} = (*Block)(nil)

func openBlock(ctx context.Context, o BlockOptions) (Store, error) { return OpenBlock(ctx, o) }

// OpenBlock opens a block device that nobody else uses: O_EXCL refuses what is
// mounted, part of an array, or another daemon's.
func OpenBlock(ctx context.Context, o BlockOptions) (*Block, error) {
	if o.Files == nil {
		o.Files = Kernel{}
	}
	if o.Path == "" {
		return nil, &Error{Op: "open", Reason: ReasonBadOption, Err: errors.New("path is empty")}
	}
	// Ask what it is before O_EXCL, which means something else for files.
	if err := checkDevice(o); err != nil {
		return nil, err
	}
	flags := unix.O_RDWR | unix.O_EXCL | unix.O_NOCTTY
	if !o.Buffered {
		flags |= unix.O_DIRECT
	}
	fd := -1
	err := waitFor(ctx, o.LockWait, o.Path, func() (err error) {
		fd, err = o.Files.Open(o.Path, flags, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	b := &Block{trust: o.TrustDiscard}
	b.init(o.Files, o.Path, fd)
	if err := b.setUp(ctx, o); err != nil {
		b.closeAll()
		return nil, err
	}
	return b, nil
}

func checkDevice(o BlockOptions) error {
	fd, err := o.Files.Open(o.Path, unix.O_PATH, 0)
	if err != nil {
		return &Error{Op: "open", Path: o.Path, Reason: ReasonIO, Err: err}
	}
	st, err := o.Files.Stat(fd)
	if cerr := o.Files.Close(fd); err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return &Error{Op: "open", Path: o.Path, Reason: ReasonIO, Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFBLK:
		return &Error{Op: "open", Path: o.Path, Reason: ReasonWrongType, Err: fmt.Errorf("not a block device (mode %o)", st.Mode)}
	}
	return nil
}

func (b *Block) setUp(ctx context.Context, o BlockOptions) error {
	// O_EXCL keeps daemons out; the lock keeps QEMU out, which knows only that.
	if err := waitFor(ctx, o.LockWait, b.path, func() error { return b.sys.Lock(b.fd) }); err != nil {
		return err
	}
	st, err := b.sys.Stat(b.fd)
	if err != nil {
		return b.fail("open", err)
	}
	logical, physical, err := b.sys.BlockSizes(b.fd)
	if err != nil {
		return b.fail("open", err)
	}
	size, err := b.sys.Seek(b.fd, 0, unix.SEEK_END)
	if err != nil {
		return b.fail("open", err)
	}
	if size == 0 {
		return &Error{Op: "open", Path: b.path, Reason: ReasonSizeMissing, Err: errors.New("the device is empty")}
	}
	b.size.Store(size)
	b.whole, b.unit = b.checkWhole, int64(logical)
	if !o.Buffered {
		if err := b.setUpDirect(int64(logical)); err != nil {
			return err
		}
	}
	b.geometry = describeDevice(deviceGeometry(st.Rdev), logical, physical, b.trust)
	return nil
}

func describeDevice(d sysDevice, logical, physical int, trust bool) Geometry {
	g := d.Geometry
	g.LogicalBlock, g.PhysicalBlock = logical, physical
	// Without trust the kernel must zero and unmap in one request.
	g.Thin = g.MaxDiscard > 0 && (trust || d.writeZeroes > 0)
	if !g.Thin {
		g.DiscardGranularity, g.DiscardAlignment, g.MaxDiscard = 0, 0, 0
	}
	return g
}

// checkWhole latches a *ShrunkError when the device became smaller or left.
func (b *Block) checkWhole() error {
	want := b.size.Load()
	have, err := b.sys.Seek(b.fd, 0, unix.SEEK_END)
	if err != nil {
		have = 0 // an answer to this needs no medium, only a device
	}
	if have >= want {
		return nil
	}
	return b.flush.fail(&ShrunkError{Path: b.path, Have: have, Want: want})
}

// Discard keeps the Volume contract. fallocate punches a device only if the
// blocks read as zeros afterwards; BLKDISCARD promises nothing, so it needs
// the operator's word.
func (b *Block) Discard(off, n int64) error {
	if err := b.begin("discard", off, n, true); err != nil {
		return err
	}
	defer b.calls.leave()
	g := b.geometry
	if !b.trust || !g.Thin || g.DiscardGranularity == 0 {
		return b.changed(b.zero(off, n, punchHole, zeroRange))
	}
	first, last := inner(off, n, max(g.DiscardGranularity, b.unit), g.DiscardAlignment)
	err := b.zero(off, first-off, zeroRange)
	if err == nil {
		err = b.trim(first, last-first)
	}
	if err == nil {
		err = b.zero(last, off+n-last, zeroRange)
	}
	return b.changed(err)
}

func (b *Block) trim(off, n int64) error {
	if n == 0 {
		return nil
	}
	if b.dio != nil {
		defer b.dio.locks.lock(off, off+n, true)()
	}
	if err := b.sys.BlockDiscard(b.fd, off, n); err != nil {
		return b.fail("discard", err)
	}
	return nil
}

// WriteZeros keeps the Volume contract.
func (b *Block) WriteZeros(off, n int64) error {
	if err := b.begin("write zeros", off, n, true); err != nil {
		return err
	}
	defer b.calls.leave()
	return b.changed(b.zero(off, n, zeroRange))
}

// NextExtent calls everything mapped: a device does not tell.
func (b *Block) NextExtent(off int64) (length int64, mapped bool, err error) {
	if err := b.begin("seek", off, 1, false); err != nil {
		return 0, false, err
	}
	defer b.calls.leave()
	return b.size.Load() - off, true, nil
}

// CopyRange keeps the Volume contract.
func (b *Block) CopyRange(dst, src, n int64) (int64, error) {
	if err := b.begin("copy", src, n, true); err != nil {
		return 0, err
	}
	defer b.calls.leave()
	if err := checkRange(dst, n, b.size.Load()); err != nil {
		return 0, err
	}
	return copyWithin(b, dst, src, n)
}

// CopyFrom has no shorter way than the caller.
func (b *Block) CopyFrom(any, int64, int64, int64) (int64, bool, error) { return 0, false, nil }

// Geometry keeps the Volume contract.
func (b *Block) Geometry() Geometry { return b.geometry }

// Allocated is all of it: a device does not tell.
func (b *Block) Allocated() (int64, error) { return b.size.Load(), nil }

// Free is not known.
func (b *Block) Free() (int64, error) {
	return 0, &Error{Op: "free", Path: b.path, Reason: ReasonUnsupported, Err: errors.ErrUnsupported}
}

// Resize adopts a device that was made larger.
func (b *Block) Resize(n int64) error {
	if err := b.begin("resize", 0, 0, true); err != nil {
		return err
	}
	defer b.calls.leave()
	have, err := b.sys.Seek(b.fd, 0, unix.SEEK_END)
	if err != nil {
		return b.fail("resize", err)
	}
	old := b.size.Load()
	switch {
	case n < old:
		return refuseShrink(b.path, old, n)
	case n > have:
		return &Error{Op: "resize", Path: b.path, Reason: ReasonDeviceSize, Err: fmt.Errorf("the device has %d bytes, %d are asked for", have, n)}
	case n%b.unit != 0:
		return &Error{Op: "resize", Path: b.path, Reason: ReasonUnaligned, Err: fmt.Errorf("%d is no multiple of %d", n, b.unit)}
	}
	b.size.CompareAndSwap(old, n) // a racing Resize wins
	return nil
}
