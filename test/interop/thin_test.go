package interop

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

// What initiators give back is free space again: in the file below the LUN,
// and in the file below the block device below the LUN.
func TestSpaceComesBack(t *testing.T) {
	if *targetKind != peers.NAS.Name {
		return // looks below our own daemon
	}
	const size = 64 * mib
	for _, kind := range []string{"file", "block"} {
		t.Run(kind, func(t *testing.T) {
			below := sparse(t, t.TempDir(), size)
			disk := peers.Disk{Path: below}
			if kind == "block" {
				disk = peers.Disk{Path: loop(t, below), Block: true}
			}
			tgt := serve(t, disk)
			s, u := login(t, tgt, "iqn.2026-11.test:reclaim")
			defer s.Close()
			ctx := t.Context()
			blocks, err := u.LoadCapacity(ctx)
			require.NoError(t, err)
			require.EqualValues(t, size, blocks*uint64(u.BlockSize))
			p := bytes.Repeat([]byte("not zero"), mib/8)
			for at := range uint64(size / mib) {
				require.NoError(t, u.Write(ctx, at*uint64(mib/u.BlockSize), p))
			}
			_, err = u.Run(ctx, initiator.SyncCache10(0, 0, false))
			require.NoError(t, err)
			full := allocated(t, below)
			require.GreaterOrEqual(t, full, int64(size))

			// How much each gives back: the rest of the disk still holds data.
			back := func(what string, want int64) {
				t.Helper()
				_, err := u.Run(ctx, initiator.SyncCache10(0, 0, false))
				require.NoError(t, err)
				now := allocated(t, below)
				t.Logf("%-34s %3d MiB taken, %2d MiB less", what, now/mib, (full-now)/mib)
				require.InDelta(t, want, full-now, mib/4, what)
				full = now
			}
			qemu := func(command string) {
				t.Helper()
				run(t, "qemu-io", "-f", "raw", "-d", "unmap", "-c", command, tgt.URL())
			}
			qemu("discard 0 16M")
			back("QEMU, discard (UNMAP)", 16*mib)
			qemu("write -z -u 16M 16M")
			back("QEMU, zeros (WRITE SAME UNMAP)", 16*mib)
			lba := func(m int) uint64 { return uint64(m) * mib / uint64(u.BlockSize) }
			_, err = u.Run(ctx, initiator.Unmap(initiator.Extent{LBA: lba(32), Blocks: uint32(lba(8))}))
			require.NoError(t, err)
			back("UNMAP", 8*mib)
			_, err = u.Run(ctx, initiator.WriteSame16(lba(40), uint32(lba(8)), nil, initiator.WriteSameOptions{Unmap: true, NDOB: true}))
			require.NoError(t, err)
			back("WRITE SAME(16), UNMAP and NDOB", 8*mib)
			_, err = u.Run(ctx, initiator.WriteSame10(uint32(lba(48)), uint16(lba(8)), make([]byte, u.BlockSize), initiator.WriteSameOptions{Unmap: true}))
			require.NoError(t, err)
			back("WRITE SAME(10), UNMAP", 8*mib)
			_, err = u.Run(ctx, initiator.WriteSame16(lba(56), uint32(lba(8)), bytes.Repeat([]byte{1}, u.BlockSize), initiator.WriteSameOptions{Unmap: true}))
			require.NoError(t, err)
			back("the same of ones, which stay", 0)

			states, err := u.GetLBAStatus(ctx, 0, 4096)
			require.NoError(t, err)
			var told string
			for _, r := range states {
				told += fmt.Sprint(r.LBA/lba(1), "+", uint64(r.Blocks)/lba(1), " ", r.Status, "; ")
			}
			want := fmt.Sprint("0+56 ", initiator.Deallocated, "; 56+8 ", initiator.Mapped, "; ")
			if kind == "block" { // which does not tell: all of it may hold data
				want = fmt.Sprint("0+64 ", initiator.Mapped, "; ")
			}
			require.Equal(t, want, told)
			got, err := u.Read(ctx, lba(55), uint32(lba(2)))
			require.NoError(t, err)
			require.Equal(t, append(make([]byte, mib), bytes.Repeat([]byte{1}, mib)...), got)
		})
	}
}
