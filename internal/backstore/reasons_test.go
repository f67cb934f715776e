package backstore_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// noDirect is a file system that knows no O_DIRECT.
type noDirect struct{ backstore.Kernel }

func (k noDirect) Open(path string, flags int, mode uint32) (int, error) {
	if flags&unix.O_DIRECT != 0 {
		return -1, unix.EINVAL
	}
	return k.Kernel.Open(path, flags, mode)
}

// oddAlign demands an alignment that no buffer can have.
type oddAlign struct{ backstore.Kernel }

func (oddAlign) DirectAlign(int) (mem, off int, err error) { return 1 << 20, 512, nil }

// Every reason is reached, and every error that a store gives names one.
func TestEveryReason(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(path("1MiB"), make([]byte, testSize), 0o600))
	require.NoError(t, os.WriteFile(path("odd"), make([]byte, 1000), 0o600))
	require.NoError(t, os.WriteFile(path("empty"), nil, 0o600))
	require.NoError(t, unix.Mkfifo(path("fifo"), 0o600))
	require.NoError(t, os.Symlink(path("nowhere"), path("dangling")))
	file := func(o backstore.FileOptions) error {
		f, err := openFile(o)
		if err == nil {
			f.Close()
		}
		return err
	}
	kind := func(name string, opts any) error {
		s, err := backstore.Open(context.Background(), name, opts)
		if err == nil {
			s.Close()
		}
		return err
	}
	cases := []struct {
		reason backstore.Reason
		what   string
		err    func() error
		errno  error
	}{
		{backstore.ReasonUnknownKind, "no such kind", func() error { return kind("tape", nil) }, nil},
		{backstore.ReasonBadOption, "options of another kind", func() error { return kind("file", backstore.RAMOptions{}) }, nil},
		{backstore.ReasonBadOption, "no options", func() error { return kind("ram", nil) }, nil},
		{backstore.ReasonBadOption, "no path", func() error { return kind("file", backstore.FileOptions{}) }, nil},
		{backstore.ReasonBadOption, "negative size", func() error { return file(backstore.FileOptions{Path: path("x"), Size: -1}) }, nil},
		{backstore.ReasonBadOption, "no device", func() error { return kind("block", &backstore.BlockOptions{}) }, nil},
		{backstore.ReasonSizeMissing, "new file", func() error { return file(backstore.FileOptions{Path: path("new")}) }, nil},
		{backstore.ReasonSizeMissing, "empty file", func() error { return file(backstore.FileOptions{Path: path("empty")}) }, nil},
		{backstore.ReasonSizeMissing, "ram", func() error { return kind("ram", backstore.RAMOptions{}) }, nil},
		{backstore.ReasonSizeMissing, "null", func() error { return kind("null", backstore.NullOptions{}) }, nil},
		{backstore.ReasonTooLarge, "ram", func() error { return kind("ram", backstore.RAMOptions{Size: 1 << 62}) }, nil},
		{backstore.ReasonSizeMismatch, "smaller", func() error { return file(backstore.FileOptions{Path: path("1MiB"), Size: 2 * testSize}) }, nil},
		{backstore.ReasonSizeMismatch, "larger", func() error { return file(backstore.FileOptions{Path: path("1MiB"), Size: 4096}) }, nil},
		{backstore.ReasonSizeMismatch, "empty", func() error { return file(backstore.FileOptions{Path: path("empty"), Size: 4096}) }, nil},
		{backstore.ReasonWrongType, "directory", func() error { return file(backstore.FileOptions{Path: dir}) }, nil},
		{backstore.ReasonWrongType, "fifo", func() error { return file(backstore.FileOptions{Path: path("fifo")}) }, nil},
		{backstore.ReasonWrongType, "character device", func() error { return file(backstore.FileOptions{Path: "/dev/null"}) }, nil},
		{backstore.ReasonWrongType, "file as device", func() error { return kind("block", backstore.BlockOptions{Path: path("1MiB")}) }, nil},
		{backstore.ReasonIO, "dangling link", func() error { return file(backstore.FileOptions{Path: path("dangling"), Size: testSize}) }, unix.ENOENT},
		{backstore.ReasonIO, "no directory", func() error { return file(backstore.FileOptions{Path: path("no/where"), Size: testSize}) }, unix.ENOENT},
		{backstore.ReasonIO, "no device", func() error { return kind("block", backstore.BlockOptions{Path: path("sdz")}) }, unix.ENOENT},
		{backstore.ReasonNoDirect, "existing", func() error {
			return file(backstore.FileOptions{Path: path("1MiB"), Direct: true, Files: noDirect{}})
		}, unix.EINVAL},
		{backstore.ReasonNoDirect, "alignment", func() error {
			return file(backstore.FileOptions{Path: path("1MiB"), Direct: true, Files: oddAlign{}})
		}, nil},
		{backstore.ReasonUnaligned, "direct file of 1000 bytes", func() error { return file(backstore.FileOptions{Path: path("odd"), Direct: true}) }, nil},
		{backstore.ReasonLocked, "open twice", func() error {
			newFile(t, backstore.FileOptions{Path: path("locked")})
			return file(backstore.FileOptions{Path: path("locked")})
		}, unix.EAGAIN},
		{backstore.ReasonOutOfRange, "read", func() error {
			_, err := newFile(t, backstore.FileOptions{}).ReadAt(make([]byte, 1), testSize)
			return err
		}, nil},
		{backstore.ReasonClosed, "read", func() error {
			f := newFile(t, backstore.FileOptions{})
			require.NoError(t, f.Close())
			_, err := f.ReadAt(make([]byte, 1), 0)
			return err
		}, nil},
		{backstore.ReasonShrinkRefused, "file", func() error { return newFile(t, backstore.FileOptions{}).Resize(1) }, nil},
		{backstore.ReasonMediumGone, "truncated", func() error {
			f := newFile(t, backstore.FileOptions{Path: path("gone")})
			require.NoError(t, os.Truncate(path("gone"), 0))
			_, err := f.ReadAt(make([]byte, 1), 0)
			return err
		}, nil},
		{backstore.ReasonFlushFailed, "sync", func() error {
			f, faults := faulty(t, backstore.FileOptions{})
			faults.Nth(backtest.SysFdatasync, 1, unix.EIO)
			return f.Sync()
		}, unix.EIO},
		{backstore.ReasonDeviceSize, "beyond the device", func() error { return fakeBlock(t).Resize(2 * testSize) }, nil},
		{backstore.ReasonUnsupported, "free space of a device", func() error { _, err := fakeBlock(t).Free(); return err }, errors.ErrUnsupported},
	}
	reached := map[backstore.Reason]bool{}
	for _, c := range cases {
		err := c.err()
		require.Error(t, err, "%s: %s", c.reason, c.what)
		require.ErrorIs(t, err, c.reason, c.what)
		require.Equal(t, c.reason, backstore.ReasonOf(err), c.what)
		if c.errno != nil {
			require.ErrorIs(t, err, c.errno, c.what)
		}
		reached[c.reason] = true
	}
	for _, r := range backstore.Reasons() {
		require.True(t, reached[r], "no case reaches %s", r)
	}
	require.Len(t, reached, len(backstore.Reasons()))
	require.Empty(t, backstore.ReasonOf(nil))
	require.Equal(t, backstore.ReasonIO, backstore.ReasonOf(io.ErrUnexpectedEOF))
	require.NoFileExists(t, path("new"))
	require.NoFileExists(t, path("x"))
}

// fakeDevice lets a file pass for a block device, so that the rules of block
// stores are tested where no device can be made.
type fakeDevice struct{ backstore.Kernel }

func (k fakeDevice) Open(path string, flags int, mode uint32) (int, error) {
	return k.Kernel.Open(path, flags&^unix.O_EXCL, mode)
}

func (k fakeDevice) Stat(fd int) (backstore.FileInfo, error) {
	st, err := k.Kernel.Stat(fd)
	st.Mode = st.Mode&^unix.S_IFMT | unix.S_IFBLK
	return st, err
}

func (fakeDevice) BlockSizes(int) (logical, physical int, err error) { return 512, 4096, nil }

func fakeBlock(t *testing.T) *backstore.Block {
	path := filepath.Join(t.TempDir(), "device")
	require.NoError(t, os.WriteFile(path, make([]byte, testSize), 0o600))
	b, err := backstore.OpenBlock(context.Background(), backstore.BlockOptions{Path: path, Files: fakeDevice{}, LockWait: time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// The block store's own rules hold on a file that passes for a device.
func TestFakeDeviceContract(t *testing.T) {
	for name, o := range map[string]backstore.BlockOptions{"direct": {}, "buffered": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			o.Files = fakeDevice{}
			o.LockWait = time.Millisecond
			backtest.Run(t, func(t testing.TB) backstore.Store {
				o.Path = filepath.Join(t.TempDir(), "device")
				require.NoError(t, os.WriteFile(o.Path, make([]byte, testSize), 0o600))
				return open(t, "block", o)
			}, backtest.Traits{Fixed: true, Opaque: true, Exclusive: true, Reopen: func(testing.TB) (backstore.Store, error) {
				return backstore.Open(context.Background(), "block", o)
			}})
		})
	}
}

func TestErrorsReadWell(t *testing.T) {
	for want, err := range map[string]error{
		"read /d: input/output error":                                                &backstore.Error{Op: "read", Path: "/d", Reason: backstore.ReasonIO, Err: unix.EIO},
		"read: closed":                                                               &backstore.Error{Op: "read", Reason: backstore.ReasonClosed},
		"open /d: wrong_file_type: a pipe":                                           &backstore.Error{Op: "open", Path: "/d", Reason: backstore.ReasonWrongType, Err: errors.New("a pipe")},
		"out_of_range: 512 bytes at 1024 of a store of 1024":                         &backstore.RangeError{Off: 1024, Len: 512, Size: 1024},
		"/d shrank from 1024 to 512 bytes while in use":                              &backstore.ShrunkError{Path: "/d", Have: 512, Want: 1024},
		"/d was deleted or replaced while in use":                                    &backstore.ShrunkError{Path: "/d", Have: 512, Want: 1024, Unlinked: true},
		"flush /d failed, data since the last flush is in doubt: input/output error": &backstore.FlushError{Path: "/d", Err: unix.EIO},
	} {
		require.EqualError(t, err, want)
	}
}
