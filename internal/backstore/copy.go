package backstore

import (
	"io"

	"golang.org/x/sys/unix"
)

// CopyRange keeps the Volume contract. The file system shares or copies the
// data by itself where it can.
func (f *File) CopyRange(dst, src, n int64) (int64, error) {
	if err := f.begin("copy", src, n, false); err != nil {
		return 0, err
	}
	defer f.calls.leave()
	if err := checkRange(dst, n, f.size.Load()); err != nil {
		return 0, err
	}
	if dst < src+n && src < dst+n {
		return copyWithin(f, dst, src, n)
	}
	done, ok, err := f.CopyFrom(f, src, dst, n)
	if ok || err != nil {
		return done, err
	}
	rest, err := copyWithin(f, dst+done, src+done, n-done)
	return done + rest, err
}

// CopyFrom keeps the Volume contract: it serves sources that are file stores
// in a file system that can copy between the two. Holes stay holes.
func (f *File) CopyFrom(srcStore any, src, dst, n int64) (done int64, ok bool, err error) {
	from, ok := srcStore.(*File)
	if !ok {
		return 0, false, nil
	}
	if err := from.begin("copy", src, n, false); err != nil {
		return 0, true, err
	}
	defer from.calls.leave()
	if err := f.begin("copy", dst, n, true); err != nil {
		return 0, true, err
	}
	defer f.calls.leave()
	for done < n {
		k, mapped, err := from.extent(src + done)
		if err != nil {
			return done, true, err
		}
		k = min(k, n-done)
		if !mapped {
			err = f.clear(dst+done, k)
		} else if k, ok, err = f.copyData(from, src+done, dst+done, k); !ok {
			return done, false, nil
		}
		if err != nil {
			return done, true, f.changed(err)
		}
		done += k
	}
	return done, true, f.changed(nil)
}

// copyData is one step of a copy; ok is false when the file system cannot.
func (f *File) copyData(from *File, src, dst, n int64) (done int64, ok bool, err error) {
	if err := f.beforeEnd(dst, n); err != nil {
		return 0, true, err
	}
	done, err = f.sys.CopyFileRange(f.fd, dst, from.fd, src, n)
	switch err {
	case nil:
		if done == 0 {
			err = from.endOfFile()
		}
		return done, true, err
	case unix.EINTR:
		return 0, true, nil
	case unix.EXDEV, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.ETXTBSY:
		return 0, false, nil
	}
	return 0, true, f.fail("copy", err)
}

// copyWithin copies inside one store by reading and writing, in the direction
// that keeps an overlapping source intact.
func copyWithin(s interface {
	io.ReaderAt
	io.WriterAt
}, dst, src, n int64) (int64, error) {
	buf := getBounce()
	defer putBounce(buf)
	backwards := dst > src && dst-src < n
	for done := int64(0); done < n; {
		p := buf.b[:min(int64(len(buf.b)), n-done)]
		at := done
		if backwards {
			at = n - done - int64(len(p))
		}
		_, err := s.ReadAt(p, src+at)
		if err == nil {
			_, err = s.WriteAt(p, dst+at)
		}
		switch {
		case err != nil && backwards:
			return 0, err // no prefix is complete yet
		case err != nil:
			return done, err
		}
		done += int64(len(p))
	}
	return n, nil
}
