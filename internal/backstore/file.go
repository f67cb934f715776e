package backstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// FileOptions are the options of kind "file".
type FileOptions struct {
	Path        string        `json:"path" doc:"the file; it is created with mode 0600 when missing"`
	Size        int64         `json:"size" doc:"length in bytes; 0 takes the length of an existing file"`
	Preallocate bool          `json:"preallocate" default:"false" doc:"allocate all space when the file is created and never give it back: writes cannot run out of space"`
	Direct      bool          `json:"direct" default:"false" doc:"bypass the page cache (O_DIRECT)"`
	LockWait    time.Duration `json:"lock_wait" default:"15s" doc:"how long to wait for another process, or the last write of a killed daemon, to let go of the file"`

	Files Files `json:"-"` // nil: Kernel
}

// DefaultLockWait is long enough for the kernel to finish the last write of a
// killed daemon on a busy disk.
const DefaultLockWait = 15 * time.Second

// File is a store in a regular file.
type File struct {
	fdio
	preallocated bool
	geometry     Geometry
	resizing     sync.Mutex
}

var _ interface {
	Volume
	Failing
} = (*File)(nil)

func openFile(ctx context.Context, o FileOptions) (Store, error) { return OpenFile(ctx, o) }

// OpenFile opens or creates a file store.
func OpenFile(ctx context.Context, o FileOptions) (*File, error) {
	if o.Files == nil {
		o.Files = Kernel{}
	}
	if o.Path == "" || o.Size < 0 {
		return nil, &Error{Op: "open", Path: o.Path, Reason: ReasonBadOption, Err: errors.New("path is empty or size is negative")}
	}
	fd, err := openOrCreate(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &File{preallocated: o.Preallocate}
	f.init(o.Files, o.Path, fd)
	if err := f.setUp(ctx, o); err != nil {
		f.closeAll()
		return nil, err
	}
	return f, nil
}

func (o FileOptions) flags() int {
	flags := unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK // a FIFO must not hang us
	if o.Direct {
		flags |= unix.O_DIRECT
	}
	return flags
}

// openOrCreate tries more than once because another process may create or
// remove the file in between. (A link to nowhere exists and does not open.)
func openOrCreate(ctx context.Context, o FileOptions) (fd int, err error) {
	for range 3 {
		fd, err = o.Files.Open(o.Path, o.flags(), 0)
		if err == nil {
			return fd, nil
		}
		switch {
		case err == unix.EINVAL && o.Direct:
			return -1, &Error{Op: "open", Path: o.Path, Reason: ReasonNoDirect, Err: err}
		case err == unix.EISDIR:
			return -1, &Error{Op: "open", Path: o.Path, Reason: ReasonWrongType, Err: err}
		case err != unix.ENOENT:
			return -1, &Error{Op: "open", Path: o.Path, Reason: ReasonIO, Err: err}
		}
		if err := create(ctx, o); err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, err
		}
	}
	return -1, &Error{Op: "open", Path: o.Path, Reason: ReasonIO, Err: err}
}

// create makes the file under no name, gives it its size and only then its
// name, so that a crash leaves nothing or all of it. Where unnamed files do
// not exist the name comes first.
func create(ctx context.Context, o FileOptions) error {
	if o.Size == 0 {
		return &Error{Op: "create", Path: o.Path, Reason: ReasonSizeMissing}
	}
	dir := filepath.Dir(o.Path)
	named := false
	fd, err := o.Files.Open(dir, unix.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == unix.EOPNOTSUPP || err == unix.EISDIR || err == unix.EINVAL {
		named = true
		fd, err = o.Files.Open(o.Path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	}
	if err == nil {
		err = fill(ctx, o, fd, dir, &named)
		if cerr := o.Files.Close(fd); err == nil {
			err = cerr
		}
		if err != nil && named {
			o.Files.Remove(o.Path)
		}
	}
	if err != nil {
		return &Error{Op: "create", Path: o.Path, Reason: ReasonIO, Err: err}
	}
	return nil
}

// fill gives a new file its size and its name and makes both durable.
func fill(ctx context.Context, o FileOptions, fd int, dir string, named *bool) error {
	if err := allocate(ctx, o, fd); err != nil {
		return err
	}
	if err := o.Files.Fsync(fd); err != nil {
		return err
	}
	if !*named {
		if err := o.Files.Link(fd, o.Path); err != nil {
			return err
		}
		*named = true
	}
	return syncDir(o.Files, dir)
}

func allocate(ctx context.Context, o FileOptions, fd int) error {
	if o.Preallocate {
		return preallocate(ctx, o.Files, fd, 0, 0, o.Size)
	}
	return o.Files.Ftruncate(fd, o.Size)
}

func syncDir(sys Files, dir string) error {
	fd, err := sys.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = sys.Fsync(fd)
	if cerr := sys.Close(fd); err == nil {
		err = cerr
	}
	return err
}

// setUp locks the file and learns what it is. The order matters: only the
// holder of the lock may trust what it reads.
func (f *File) setUp(ctx context.Context, o FileOptions) error {
	st, err := f.sys.Stat(f.fd)
	if err != nil {
		return f.fail("open", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return &Error{Op: "open", Path: f.path, Reason: ReasonWrongType, Err: fmt.Errorf("not a regular file (mode %o)", st.Mode)}
	}
	if err := waitFor(ctx, o.LockWait, f.path, func() error { return f.sys.Lock(f.fd) }); err != nil {
		return err
	}
	if st, err = f.sys.Stat(f.fd); err != nil {
		return f.fail("open", err)
	}
	size := o.Size
	if size == 0 {
		size = st.Size
	}
	switch {
	case size == 0:
		return &Error{Op: "open", Path: f.path, Reason: ReasonSizeMissing, Err: errors.New("the file is empty")}
	case st.Nlink == 0:
		return &ShrunkError{Path: f.path, Have: st.Size, Want: size, Unlinked: true}
	case st.Size != size:
		return &Error{Op: "open", Path: f.path, Reason: ReasonSizeMismatch,
			Err: fmt.Errorf("the file has %d bytes, the configuration says %d; if the file is right, correct the configuration; to grow it, use truncate --size=%d", st.Size, size, size)}
	}
	f.size.Store(size)
	f.whole, f.extends, f.unit = f.checkWhole, true, 1
	if o.Preallocate && st.Allocated < size {
		if err := preallocate(ctx, f.sys, f.fd, unix.FALLOC_FL_KEEP_SIZE, 0, size); err != nil {
			return f.fail("preallocate", err)
		}
	}
	fs, err := f.sys.Statfs(f.fd)
	if err != nil {
		return f.fail("open", err)
	}
	if f.inMemory = fs.Type == unix.TMPFS_MAGIC; f.inMemory && f.sys == (Files)(Kernel{}) {
		f.sys = inMemory{}
	}
	if o.Direct {
		if err := f.setUpDirect(st.BlockSize); err != nil {
			return err
		}
	}
	f.geometry = f.describe(st, fs)
	return nil
}

// waitFor tries until try succeeds, or fails with something else than "busy".
func waitFor(ctx context.Context, atMost time.Duration, path string, try func() error) error {
	const pause = 20 * time.Millisecond
	start := time.Now()
	for {
		err := try()
		switch err {
		case nil:
			return nil
		case unix.EAGAIN, unix.EACCES, unix.EBUSY:
		default:
			return &Error{Op: "lock", Path: path, Reason: ReasonIO, Err: err}
		}
		if waited := time.Since(start); waited >= atMost {
			return &Error{Op: "lock", Path: path, Reason: ReasonLocked,
				Err: fmt.Errorf("in use by another process (waited %v): %w", waited.Round(pause), err)}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return &Error{Op: "lock", Path: path, Reason: ReasonLocked, Err: context.Cause(ctx)}
		}
	}
}

// checkWhole latches a *ShrunkError when the file lost its tail or its name.
func (f *File) checkWhole() error {
	// Size first: a Resize in between only makes the file longer.
	want := f.size.Load()
	st, err := f.sys.Stat(f.fd)
	if err != nil {
		return f.fail("stat", err)
	}
	if st.Size >= want && st.Nlink > 0 {
		return nil
	}
	return f.flush.fail(&ShrunkError{Path: f.path, Have: st.Size, Want: want, Unlinked: st.Nlink == 0})
}

// Allocated keeps the Volume contract.
func (f *File) Allocated() (int64, error) {
	if !f.calls.enter() {
		return 0, &Error{Op: "stat", Path: f.path, Reason: ReasonClosed}
	}
	defer f.calls.leave()
	st, err := f.sys.Stat(f.fd)
	if err != nil {
		return 0, f.fail("stat", err)
	}
	return st.Allocated, nil
}

// Free keeps the Volume contract.
func (f *File) Free() (int64, error) {
	if !f.calls.enter() {
		return 0, &Error{Op: "statfs", Path: f.path, Reason: ReasonClosed}
	}
	defer f.calls.leave()
	fs, err := f.sys.Statfs(f.fd)
	if err != nil {
		return 0, f.fail("statfs", err)
	}
	return fs.Free, nil
}

// Geometry keeps the Volume contract.
func (f *File) Geometry() Geometry { return f.geometry }

func (f *File) describe(st FileInfo, fs FSInfo) Geometry {
	g := deviceGeometry(st.Dev).Geometry
	g.LogicalBlock = 0 // the file system cuts blocks as it likes
	if f.dio != nil {
		g.MinIO = max(g.MinIO, f.dio.align)
	}
	g.PhysicalBlock = int(min(fs.BlockSize, 1<<20))
	g.Alignment = 0
	g.DiscardGranularity, g.DiscardAlignment, g.MaxDiscard = 0, 0, 0
	// Past the end nothing can be lost: ask whether holes are possible at all.
	if !f.preallocated && f.sys.Fallocate(f.fd, punchHole, st.Size, fs.BlockSize) == nil {
		g.Thin = true
		g.DiscardGranularity = fs.BlockSize
	}
	return g
}

// Resize keeps the Volume contract.
func (f *File) Resize(n int64) error {
	if err := f.begin("resize", 0, 0, true); err != nil {
		return err
	}
	defer f.calls.leave()
	f.resizing.Lock()
	defer f.resizing.Unlock()
	old := f.size.Load()
	switch {
	case n == old:
		return nil
	case n < old:
		return refuseShrink(f.path, old, n)
	case f.dio != nil && n%int64(f.dio.align) != 0:
		return &Error{Op: "resize", Path: f.path, Reason: ReasonUnaligned, Err: fmt.Errorf("%d is no multiple of %d", n, f.dio.align)}
	}
	if err := f.whole(); err != nil {
		return err
	}
	if err := f.lengthen(old, n); err != nil {
		return f.fail("resize", err)
	}
	if err := f.sys.Fsync(f.fd); err != nil {
		return f.flush.fail(&FlushError{Path: f.path, Err: err})
	}
	f.size.Store(n)
	return nil
}

func (f *File) lengthen(old, n int64) error {
	if !f.preallocated {
		return f.sys.Ftruncate(f.fd, n)
	}
	err := preallocate(context.Background(), f.sys, f.fd, 0, old, n)
	if err != nil {
		// A disk that fills up on the way leaves the file longer by a part,
		// and the next start would refuse its size. Nothing lives there yet.
		f.sys.Ftruncate(f.fd, old)
	}
	return err
}

func refuseShrink(path string, old, n int64) error {
	return &Error{Op: "resize", Path: path, Reason: ReasonShrinkRefused, Err: fmt.Errorf("from %d to %d bytes", old, n)}
}
