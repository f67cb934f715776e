package backtest

import (
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"

	"nas-target/internal/backstore"

	"golang.org/x/sys/unix"
)

// CrashFS is a file system in memory under a file store. A power cut keeps what
// was flushed and any part of the rest: data, lengths and directory entries.
// It promises no more than POSIX does: fdatasync covers what was written
// before it began, a name lasts only after fsync of its directory.
type CrashFS struct {
	mu    sync.Mutex
	names map[string]*inode // as seen now
	kept  map[string]*inode // durable entries
	fds   map[int]*openFile
	next  int
	// During, if set, runs in the middle of every flush, without locks: what
	// is written there is not covered by that flush.
	During func()
	// AtomicMost is the longest write that a power cut does not tear; 0: none.
	AtomicMost int
}

type inode struct {
	data     *sectors
	size     int64
	kept     int64 // durable size
	nlink    uint64
	dir      bool
	lockedBy int
}

type openFile struct {
	*inode
	path  string
	flags int
}

var _ backstore.Files = (*CrashFS)(nil)

// NewCrashFS makes a file system in which every directory exists.
func NewCrashFS() *CrashFS {
	return &CrashFS{names: map[string]*inode{}, kept: map[string]*inode{}, fds: map[int]*openFile{}, next: 3}
}

// Kill ends every open file as the death of the process does: nothing that was
// written is lost.
func (c *CrashFS) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill()
}

func (c *CrashFS) kill() {
	c.fds = map[int]*openFile{}
	for _, n := range c.names {
		n.lockedBy = 0
	}
}

// Crash cuts the power. Every open file is gone; open them again.
func (c *CrashFS) Crash(seed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rnd := rand.New(rand.NewPCG(seed, seed))
	c.kill()
	for path, n := range c.names {
		if c.kept[path] != n && rnd.IntN(2) == 0 {
			c.kept[path] = n
		}
	}
	for path, n := range c.kept {
		if c.names[path] != n && rnd.IntN(2) == 0 {
			delete(c.kept, path) // a removal that went through
		}
	}
	c.names = map[string]*inode{}
	for path, n := range c.kept {
		if n.size != n.kept && rnd.IntN(2) == 0 {
			n.kept = n.size
		}
		n.size = n.kept
		n.data.crash(rnd)
		c.names[path] = n
	}
}

// lookup finds an open file; mu is held.
func (c *CrashFS) lookup(fd int) (*openFile, error) {
	if f := c.fds[fd]; f != nil {
		return f, nil
	}
	return nil, unix.EBADF
}

func (c *CrashFS) add(f *openFile) int {
	fd := c.next
	c.next++
	c.fds[fd] = f
	return fd
}

func (c *CrashFS) Open(path string, flags int, _ uint32) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case flags&unix.O_TMPFILE == unix.O_TMPFILE:
		return c.add(&openFile{inode: &inode{data: newSectors()}, flags: flags}), nil
	case flags&unix.O_DIRECTORY != 0:
		return c.add(&openFile{inode: &inode{dir: true}, path: path}), nil
	}
	n := c.names[path]
	switch {
	case n != nil && flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL:
		return -1, unix.EEXIST
	case n == nil && flags&unix.O_CREAT == 0:
		return -1, unix.ENOENT
	case n == nil:
		n = &inode{data: newSectors(), nlink: 1}
		c.names[path] = n
	}
	return c.add(&openFile{inode: n, path: path, flags: flags}), nil
}

func (c *CrashFS) Reopen(fd int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	if err != nil {
		return -1, err
	}
	return c.add(&openFile{inode: f.inode, path: f.path}), nil
}

func (c *CrashFS) Close(fd int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	if err != nil {
		return err
	}
	if f.lockedBy == fd {
		f.lockedBy = 0
	}
	delete(c.fds, fd)
	return nil
}

func (c *CrashFS) Lock(fd int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	switch {
	case err != nil:
		return err
	case f.lockedBy != 0 && f.lockedBy != fd:
		return unix.EAGAIN
	}
	f.lockedBy = fd
	return nil
}

func (c *CrashFS) Link(fd int, path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	switch {
	case err != nil:
		return err
	case c.names[path] != nil:
		return unix.EEXIST
	}
	f.nlink++
	c.names[path] = f.inode
	return nil
}

func (c *CrashFS) Remove(path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.names[path]
	if n == nil {
		return unix.ENOENT
	}
	n.nlink--
	delete(c.names, path)
	return nil
}

func (c *CrashFS) Stat(fd int) (backstore.FileInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	if err != nil {
		return backstore.FileInfo{}, err
	}
	return backstore.FileInfo{
		Mode: unix.S_IFREG | 0o600, Nlink: f.nlink, Size: f.size, BlockSize: 4096,
		Allocated: int64(len(f.data.current)) * sectorSize,
	}, nil
}

func (c *CrashFS) Statfs(int) (backstore.FSInfo, error) {
	return backstore.FSInfo{BlockSize: 4096, Free: 1 << 40}, nil
}

func (c *CrashFS) DirectAlign(int) (mem, off int, err error) { return sectorSize, sectorSize, nil }

// direct refuses what O_DIRECT does not allow.
func (f *openFile) direct(p []byte, off int64) error {
	if f.flags&unix.O_DIRECT != 0 && (int64(len(p))|off)%sectorSize != 0 {
		return unix.EINVAL
	}
	return nil
}

func (c *CrashFS) Pread(fd int, p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	if err == nil {
		err = f.direct(p, off)
	}
	if err != nil {
		return 0, err
	}
	p = p[:max(0, min(int64(len(p)), f.size-off))]
	f.data.read(p, off)
	return len(p), nil
}

func (c *CrashFS) PreadNoWait(fd int, p []byte, off int64) (int, error) {
	return c.Pread(fd, p, off)
}

func (c *CrashFS) Pwrite(fd int, p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	if err == nil {
		err = f.direct(p, off)
	}
	if err != nil {
		return 0, err
	}
	f.data.write(p, off)
	f.size = max(f.size, off+int64(len(p)))
	return len(p), nil
}

func (c *CrashFS) PwriteDsync(fd int, p []byte, off int64) (int, error) {
	n, err := c.Pwrite(fd, p, off)
	if err != nil {
		return n, err
	}
	return n, c.flush(fd, func(f *openFile, upTo uint64) { f.data.flushRange(off, int64(n), upTo) })
}

func (c *CrashFS) AtomicUnits(int) (least, most int, err error) {
	if c.AtomicMost == 0 {
		return 0, 0, nil
	}
	return sectorSize, c.AtomicMost, nil
}

func (c *CrashFS) PwriteAtomic(fd int, p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	n := int64(len(p))
	switch {
	case err != nil:
		return 0, err
	case f.flags&unix.O_DIRECT == 0:
		return 0, unix.EOPNOTSUPP
	case n < sectorSize || n > int64(c.AtomicMost) || n&(n-1) != 0 || off%n != 0:
		return 0, unix.EINVAL
	}
	f.data.writeAtomic(p, off)
	f.size = max(f.size, off+n)
	return len(p), nil
}

func (c *CrashFS) Fdatasync(fd int) error {
	return c.flush(fd, func(f *openFile, upTo uint64) { f.data.endFlush(upTo) })
}

func (c *CrashFS) Fsync(fd int) error {
	c.mu.Lock()
	f, err := c.lookup(fd)
	if err != nil || !f.dir {
		c.mu.Unlock()
		if err != nil {
			return err
		}
		return c.Fdatasync(fd)
	}
	defer c.mu.Unlock()
	for path, n := range c.names {
		if filepath.Dir(path) == filepath.Clean(f.path) {
			c.kept[path] = n
		}
	}
	for path := range c.kept {
		if filepath.Dir(path) == filepath.Clean(f.path) && c.names[path] == nil {
			delete(c.kept, path)
		}
	}
	return nil
}

// flush gives other calls a chance to slip in between the moment up to which
// it counts and its end.
func (c *CrashFS) flush(fd int, end func(f *openFile, upTo uint64)) error {
	c.mu.Lock()
	f, err := c.lookup(fd)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	upTo, size := f.data.beginFlush(), f.size
	c.mu.Unlock()
	if c.During != nil {
		c.During()
	} else {
		runtime.Gosched()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fds[fd] != f {
		return unix.EIO // the power went meanwhile
	}
	end(f, upTo)
	f.kept = size
	return nil
}

func (c *CrashFS) Ftruncate(fd int, n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	if err != nil {
		return err
	}
	if n < f.size {
		f.data.zero(n, f.size-n)
	}
	f.size = n
	return nil
}

func (c *CrashFS) Fallocate(fd int, mode uint32, off, n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	switch {
	case err != nil:
		return err
	case n <= 0 || off < 0:
		return unix.EINVAL
	case mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0:
		f.data.zero(off, max(0, min(n, f.size-off)))
	case mode&unix.FALLOC_FL_KEEP_SIZE == 0:
		f.size = max(f.size, off+n)
	}
	return nil
}

func (c *CrashFS) Seek(fd int, off int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.lookup(fd)
	switch {
	case err != nil:
		return 0, err
	case whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE:
		return 0, unix.EINVAL
	case off < 0 || off >= f.size:
		return 0, unix.ENXIO
	}
	n, mapped := f.data.extent(off, f.size)
	switch {
	case mapped == (whence == unix.SEEK_DATA):
		return off, nil
	case whence == unix.SEEK_DATA && off+n >= f.size:
		return 0, unix.ENXIO
	}
	return off + n, nil
}

func (c *CrashFS) CopyFileRange(dst int, dstOff int64, src int, srcOff int64, n int64) (int64, error) {
	p := make([]byte, n)
	k, err := c.Pread(src, p, srcOff)
	if err != nil {
		return 0, err
	}
	k, err = c.Pwrite(dst, p[:k], dstOff)
	return int64(k), err
}

func (c *CrashFS) BlockSizes(int) (logical, physical int, err error) { return 0, 0, unix.ENOTTY }

func (c *CrashFS) BlockDiscard(int, int64, int64) error { return unix.ENOTTY }
