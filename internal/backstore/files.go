package backstore

// Files is every system call that file and block stores make, one method per
// call, so that a test can put one in its place that fails the Nth, blocks,
// counts, or loses power. Kernel is the real one. Errors are bare errnos.
type Files interface {
	Open(path string, flags int, mode uint32) (fd int, err error)
	Close(fd int) error
	// Reopen makes another description of the same file, for flushes only.
	Reopen(fd int) (again int, err error)
	// Lock takes the exclusive lock of the whole file without waiting: EAGAIN
	// when somebody has it. It ends when the descriptor is closed, which for a
	// killed process is when its last thread has left the kernel.
	Lock(fd int) error
	// Link gives the unnamed file fd (O_TMPFILE) a name: EEXIST if taken.
	Link(fd int, path string) error
	Remove(path string) error
	Stat(fd int) (FileInfo, error)
	Statfs(fd int) (FSInfo, error)
	// DirectAlign is what O_DIRECT demands of memory and of offsets; zeros
	// when the kernel does not tell.
	DirectAlign(fd int) (mem, off int, err error)

	Pread(fd int, p []byte, off int64) (int, error)
	// PreadNoWait fails with EAGAIN rather than wait for a device.
	PreadNoWait(fd int, p []byte, off int64) (int, error)
	Pwrite(fd int, p []byte, off int64) (int, error)
	// PwriteDsync is Pwrite with RWF_DSYNC.
	PwriteDsync(fd int, p []byte, off int64) (int, error)
	// PwriteAtomic is Pwrite with RWF_ATOMIC: all or nothing, torn by no power
	// cut, and refused where that cannot be had. Lengths are powers of two,
	// offsets multiples of the length.
	PwriteAtomic(fd int, p []byte, off int64) (int, error)
	// AtomicUnits are the shortest and the longest PwriteAtomic with direct I/O;
	// zeros where there is none.
	AtomicUnits(fd int) (least, most int, err error)
	Fdatasync(fd int) error
	Fsync(fd int) error
	Ftruncate(fd int, n int64) error
	Fallocate(fd int, mode uint32, off, n int64) error
	// Seek is lseek, used for its SEEK_DATA, SEEK_HOLE and SEEK_END.
	Seek(fd int, off int64, whence int) (int64, error)
	CopyFileRange(dst int, dstOff int64, src int, srcOff int64, n int64) (int64, error)

	// BlockSizes are the logical and physical block of a block device.
	BlockSizes(fd int) (logical, physical int, err error)
	// BlockDiscard is BLKDISCARD: what the range reads as is the device's
	// business.
	BlockDiscard(fd int, off, n int64) error
}

// FileInfo is the part of struct stat that stores look at.
type FileInfo struct {
	Mode      uint32
	Dev, Rdev uint64
	Ino       uint64
	Nlink     uint64
	Size      int64
	BlockSize int64 // preferred I/O size
	Allocated int64 // bytes
}

// FSInfo is the part of struct statfs that stores look at.
type FSInfo struct {
	Type      int64
	BlockSize int64
	Free      int64 // bytes an unprivileged process may still use
}
