package backstore

import (
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kernel is the Files of production.
type Kernel struct{}

var _ Files = Kernel{}

// retry runs a call again while signals interrupt it (the Go runtime preempts
// with one). An interruption is no verdict, so a flush may be repeated too.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (Kernel) Open(path string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error { fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode); return err })
	return fd, err
}

// Reopen does not ask for writing: closing such a description of a block device
// makes udev look at it again.
func (k Kernel) Reopen(fd int) (int, error) {
	return k.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_NOCTTY, 0)
}

func (Kernel) Close(fd int) error { return unix.Close(fd) }

// Lock uses an open file description lock: flock would not collide with the
// ones QEMU takes on its images, and a POSIX lock would end with any other
// descriptor of the same file.
func (Kernel) Lock(fd int) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

func (Kernel) Link(fd int, path string) error {
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

func (Kernel) Remove(path string) error { return unix.Unlink(path) }

func (Kernel) Stat(fd int) (FileInfo, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return infoOf(&st), err
}

func infoOf(st *unix.Stat_t) FileInfo {
	return FileInfo{
		Mode: st.Mode, Dev: uint64(st.Dev), Rdev: uint64(st.Rdev), Ino: st.Ino, Nlink: uint64(st.Nlink),
		Size: st.Size, BlockSize: int64(st.Blksize), Allocated: st.Blocks * 512,
	}
}

func (Kernel) Statfs(fd int) (FSInfo, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return FSInfo{}, err
	}
	unit := int64(st.Frsize)
	if unit == 0 {
		unit = int64(st.Bsize)
	}
	return FSInfo{Type: int64(st.Type), BlockSize: int64(st.Bsize), Free: int64(st.Bavail) * unit}, nil
}

func (Kernel) DirectAlign(fd int) (mem, off int, err error) {
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return 0, 0, err
	}
	return int(st.Dio_mem_align), int(st.Dio_offset_align), nil
}

func (Kernel) Pread(fd int, p []byte, off int64) (int, error) { return unix.Pread(fd, p, off) }

// PreadNoWait does not wait, so Go's scheduler need not know of the call.
func (Kernel) PreadNoWait(fd int, p []byte, off int64) (int, error) {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	n, _, e := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), uintptr(off>>32), unix.RWF_NOWAIT)
	runtime.KeepAlive(p)
	return moved(n, e)
}

func (Kernel) Pwrite(fd int, p []byte, off int64) (int, error) { return unix.Pwrite(fd, p, off) }

func (Kernel) PwriteDsync(fd int, p []byte, off int64) (int, error) {
	return unix.Pwritev2(fd, [][]byte{p}, off, unix.RWF_DSYNC)
}

// Linux 6.11; file systems have followed one by one.
func (Kernel) PwriteAtomic(fd int, p []byte, off int64) (int, error) {
	return unix.Pwritev2(fd, [][]byte{p}, off, unix.RWF_ATOMIC)
}

func (Kernel) AtomicUnits(fd int) (least, most int, err error) {
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_WRITE_ATOMIC, &st)
	if err != nil || st.Mask&unix.STATX_WRITE_ATOMIC == 0 {
		return 0, 0, err
	}
	return int(st.Atomic_write_unit_min), int(st.Atomic_write_unit_max), nil
}

func (Kernel) Fdatasync(fd int) error { return retry(func() error { return unix.Fdatasync(fd) }) }

func (Kernel) Fsync(fd int) error { return retry(func() error { return unix.Fsync(fd) }) }

func (Kernel) Ftruncate(fd int, n int64) error {
	return retry(func() error { return unix.Ftruncate(fd, n) })
}

func (Kernel) Fallocate(fd int, mode uint32, off, n int64) error {
	return retry(func() error { return unix.Fallocate(fd, mode, off, n) })
}

func (Kernel) Seek(fd int, off int64, whence int) (int64, error) { return unix.Seek(fd, off, whence) }

func (Kernel) CopyFileRange(dst int, dstOff int64, src int, srcOff int64, n int64) (int64, error) {
	// One call copies in the kernel without a way to stop it: keep it short.
	done, err := unix.CopyFileRange(src, &srcOff, dst, &dstOff, int(min(n, 64<<20)), 0)
	return int64(done), err
}

func (Kernel) BlockSizes(fd int) (logical, physical int, err error) {
	if logical, err = unix.IoctlGetInt(fd, unix.BLKSSZGET); err != nil {
		return 0, 0, err
	}
	// BLKPBSZGET fills an unsigned int; the upper half of an int stays zero.
	physical, err = unix.IoctlGetInt(fd, unix.BLKPBSZGET)
	return logical, physical, err
}

// inMemory is Kernel for a file system whose medium is the page cache: reads
// and writes wait for no device, so Go's scheduler need not know of them.
// Telling it costs little, but its watchdog would hand the processor to
// another thread in the middle of a long copy.
type inMemory struct{ Kernel }

func (inMemory) Pread(fd int, p []byte, off int64) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	return moved(n, e)
}

func (inMemory) Pwrite(fd int, p []byte, off int64) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	return moved(n, e)
}

func (inMemory) Stat(fd int) (FileInfo, error) {
	var st unix.Stat_t
	if _, _, e := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(&st)), 0); e != 0 {
		return FileInfo{}, e
	}
	return infoOf(&st), nil
}

func moved(n uintptr, e unix.Errno) (int, error) {
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

func (Kernel) BlockDiscard(fd int, off, n int64) error {
	span := [2]uint64{uint64(off), uint64(n)}
	return retry(func() error {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span)))
		runtime.KeepAlive(&span)
		if e != 0 {
			return e
		}
		return nil
	})
}
