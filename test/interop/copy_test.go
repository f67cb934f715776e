package interop

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

// A copy inside one disk: by the initiator, which reads and writes, by
// EXTENDED COPY in segments of 4 MiB as ESXi sends them, and by tokens of
// 256 MiB as Windows takes them. What was copied is compared in the backing
// file. COPY_MIB=1024 makes the figures of docs/performance.md.
func TestCopyOffload(t *testing.T) {
	if *targetKind != peers.NAS.Name {
		return // looks below our own daemon
	}
	n := 32
	if v := os.Getenv("COPY_MIB"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	t.Run("here", func(t *testing.T) { copyOffload(t, t.TempDir(), int64(n)*mib) })
	t.Run("xfs", func(t *testing.T) { copyOffload(t, shareable(t, int64(n)*4*mib+512*mib), int64(n)*mib) })
}

// shareable makes a file system whose files can share blocks.
func shareable(t *testing.T, n int64) string {
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		cannot(t, "needs mkfs.xfs (Debian: xfsprogs)")
	}
	device := loop(t, sparse(t, t.TempDir(), n))
	run(t, "mkfs.xfs", "-q", "-m", "reflink=1", device)
	dir := t.TempDir()
	if err := syscall.Mount(device, dir, "xfs", 0, ""); err != nil {
		cannot(t, "mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func copyOffload(t *testing.T, dir string, n int64) {
	ctx := t.Context()
	below := sparse(t, dir, 2*n)
	tgt := serve(t, peers.Disk{Path: below})
	s, u := login(t, tgt, "iqn.2026-11.test:copy")
	defer s.Close()
	_, err := u.LoadCapacity(ctx)
	require.NoError(t, err)
	lba := func(at int64) uint64 { return uint64(at) / uint64(u.BlockSize) }
	flush := func() {
		_, err := u.Run(ctx, initiator.SyncCache16(0, 0, false))
		require.NoError(t, err)
	}
	random := rand.NewChaCha8([32]byte{1})
	p := make([]byte, mib)
	for at := int64(0); at < n; at += mib {
		random.Read(p)
		require.NoError(t, u.Write(ctx, lba(at), p))
	}
	names, err := u.Identification(ctx)
	require.NoError(t, err)
	unit := initiator.CopyUnit{Designator: names[0], BlockSize: uint32(u.BlockSize)}

	measure := func(name string, wire int64, f func()) {
		t.Helper()
		for at := n; at < 2*n; at += mib * 256 {
			_, err := u.Run(ctx, initiator.Unmap(initiator.Extent{LBA: lba(at), Blocks: uint32(lba(min(256*mib, 2*n-at)))}))
			require.NoError(t, err)
		}
		flush()
		free := freeSpace(t, dir)
		start := time.Now()
		f()
		flush()
		took := time.Since(start)
		t.Logf("%-22s %8v %7.0f MB/s, over the network %10d bytes, space taken %5d MiB", name, took.Round(time.Millisecond),
			float64(n)/took.Seconds()/1e6, wire, (free-freeSpace(t, dir))/mib)
		requireSame(t, below, n)
	}
	measure("read and write", 2*n, func() {
		for at := int64(0); at < n; at += mib {
			got, err := u.Read(ctx, lba(at), uint32(lba(mib)))
			require.NoError(t, err)
			require.NoError(t, u.Write(ctx, lba(n+at), got))
		}
	})
	const segment, segments = 4 * mib, 64
	var lists []initiator.Cmd
	wire := int64(0)
	for at := int64(0); at < n; {
		list := initiator.CopyList{Units: []initiator.CopyUnit{unit}}
		for ; at < n && len(list.Segments) < segments; at += segment {
			list.Segments = append(list.Segments, initiator.CopySegment{
				Blocks: uint16(lba(segment)), SourceLBA: lba(at), DestinationLBA: lba(n + at),
			})
		}
		b := list.Marshal()
		wire += int64(len(b))
		lists = append(lists, initiator.ExtendedCopy(b))
	}
	measure("EXTENDED COPY(LID1)", wire, func() {
		for _, c := range lists {
			_, err := u.Run(ctx, c)
			require.NoError(t, err)
		}
	})
	const token = 256 * mib
	perToken := int64(len(initiator.PopulateToken{Extents: make([]initiator.Extent, 1)}.Marshal()) +
		len(initiator.WriteUsingToken{Extents: make([]initiator.Extent, 1)}.Marshal()) + 38 + initiator.TokenLength)
	measure("tokens (ODX)", (n+token-1)/token*perToken, func() {
		for at := int64(0); at < n; at += token {
			k := uint32(lba(min(token, n-at)))
			_, err := u.Run(ctx, initiator.PopulateToken{Extents: []initiator.Extent{{LBA: lba(at), Blocks: k}}}.Cmd(1))
			require.NoError(t, err)
			info, err := u.TokenInfo(ctx, 1)
			require.NoError(t, err)
			_, err = u.Run(ctx, initiator.WriteUsingToken{Token: info.Token, Extents: []initiator.Extent{{LBA: lba(n + at), Blocks: k}}}.Cmd(2))
			require.NoError(t, err)
		}
	})
	require.Empty(t, s.Violations())
}

func freeSpace(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &st))
	return int64(st.Bfree) * st.Bsize
}

// requireSame compares the first n bytes of a file with the next n.
func requireSame(t *testing.T, path string, n int64) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	a, b := make([]byte, 4*mib), make([]byte, 4*mib)
	for at := int64(0); at < n; at += int64(len(a)) {
		_, err := io.ReadFull(io.NewSectionReader(f, at, int64(len(a))), a)
		require.NoError(t, err)
		_, err = io.ReadFull(io.NewSectionReader(f, n+at, int64(len(b))), b)
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b), "at %d", at)
	}
}
