package prstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"nas-target/internal/pr"
)

// disk is what File needs of a file system. Tests replace it by one that
// stops, tears or fails at any call.
type disk interface {
	// open opens an existing file for reading and writing.
	open(name string) (handle, error)
	// create makes an empty file, or empties an old one.
	create(name string) (handle, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes what create, rename and remove did survive a power cut.
	syncDir() error
	close() error
}

type handle interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Size() (int64, error)
	// Allocate reserves blocks for the first size bytes.
	Allocate(size int64) error
	// Sync returns once everything written survives a power cut.
	Sync() error
	Close() error
}

// osDisk is a directory, locked against a second process.
type osDisk struct {
	path string
	dir  *os.File
	lock *os.File
}

const lockName = "lock"

func openDisk(path string) (*osDisk, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		dir.Close()
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &fs.PathError{Op: "lock", Path: path, Err: ErrInUse}
		}
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return &osDisk{path: path, dir: dir, lock: lock}, nil
}

func (d *osDisk) open(name string) (handle, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d *osDisk) create(name string) (handle, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d *osDisk) rename(from, to string) error {
	return os.Rename(filepath.Join(d.path, from), filepath.Join(d.path, to))
}

func (d *osDisk) remove(name string) error { return os.Remove(filepath.Join(d.path, name)) }
func (d *osDisk) syncDir() error           { return d.dir.Sync() }

func (d *osDisk) close() error { return errors.Join(d.lock.Close(), d.dir.Close()) }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (f osFile) Allocate(size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // the zeros that follow allocate as well
	}
	return err
}

// Sync is fdatasync: it includes the size, which is all the metadata that
// matters here.
func (f osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// classify marks errors that mean a lack of space.
func classify(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errors.Join(pr.ErrNoSpace, err)
	}
	return err
}
