package interop

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/load"
	"nas-target/test/peers"
)

// knownDeviations is what our initiator finds in targets in the course of
// converse, and why it is right. A rule that shows up without standing here is a
// wrong verdict of the initiator or a change of the target: look which.
var knownDeviations = map[string][]initiator.Rule{
	peers.NAS.Name: nil,
	peers.TGT.Name: {
		// The sequence never ends at MaxBurstLength: F is set on the last Data-In only.
		initiator.RuleDataBurst,
		// A refused command with an allocation length is answered with as many
		// bytes of Data-In, and the response then says that none were sent.
		initiator.RuleExpDataSN,
	},
}

// converse says a bit of everything to a target.
func converse(ctx context.Context, t *testing.T, s *initiator.Session, u *initiator.Unit) {
	t.Helper()
	_, err := u.DrainUA(ctx)
	require.NoError(t, err)
	_, err = u.LoadCapacity(ctx)
	require.NoError(t, err)
	_, err = u.Inquiry(ctx)
	require.NoError(t, err)
	pages, err := u.SupportedVPD(ctx)
	require.NoError(t, err)
	for _, p := range pages {
		_, err = u.VPD(ctx, p)
		require.NoError(t, err, "page %02x", p)
	}
	_, err = u.Identification(ctx)
	require.NoError(t, err)
	_, err = s.ReportLUNs(ctx)
	require.NoError(t, err)
	_, err = u.ModeSense(ctx, initiator.ModeCurrent, initiator.PageAll, 0xff)
	require.NoError(t, err)
	_, err = u.SupportedOpcodes(ctx, true)
	require.NoError(t, err)

	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	require.NoError(t, u.Write(ctx, 8, data))
	got, err := u.Read(ctx, 8, uint32(len(data)/u.BlockSize))
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	for _, c := range []initiator.Cmd{
		initiator.SyncCache10(0, 0, false), initiator.Verify16(8, 8, initiator.BytChkBlocks, 0, data[:8*u.BlockSize]),
		initiator.Read10(0, 0, u.BlockSize, 0), initiator.PreFetch10(0, 8, false),
		initiator.WriteSame16(0, 8, data[:u.BlockSize], initiator.WriteSameOptions{}),
	} {
		_, err := u.Run(ctx, c)
		require.NoError(t, err, "%x", c.CDB)
	}
	short, long := initiator.Read10(8, 8, u.BlockSize, 0), initiator.Read10(8, 8, u.BlockSize, 0)
	short.In, long.In = u.BlockSize, 16*u.BlockSize
	for _, c := range []initiator.Cmd{short, long} {
		r, err := u.Run(ctx, c)
		require.NoError(t, err)
		require.EqualValues(t, map[bool]int{true: 7, false: 8}[r.Overflow]*u.BlockSize, r.Residual)
	}
	for _, c := range []initiator.Cmd{
		initiator.NoData(0xf0, 0, 0, 0, 0, 0), initiator.LogSense(1, 0x3e, 0, 512),
		initiator.Read16(1<<50, 1, u.BlockSize, 0), initiator.Write16(1<<50, data[:u.BlockSize], u.BlockSize, 0),
	} {
		r, err := u.Do(ctx, c)
		require.NoError(t, err)
		require.Equal(t, initiator.IllegalRequest, r.Sense.Key, "%x", c.CDB)
	}

	require.NoError(t, u.RegisterAndIgnore(ctx, 0xabc, false))
	require.NoError(t, u.Reserve(ctx, 0xabc, initiator.WriteExclusiveRegistrantsOnly))
	held, err := u.ReadReservation(ctx)
	require.NoError(t, err)
	require.True(t, held.Held)
	require.NoError(t, u.Clear(ctx, 0xabc))
	keys, err := u.ReadKeys(ctx)
	require.NoError(t, err)
	require.Empty(t, keys.Keys)

	require.NoError(t, s.Ping(ctx, []byte("are you there?")))
	r, err := s.LUReset(ctx, u.LUN)
	require.NoError(t, err)
	require.Equal(t, initiator.TMFComplete, r.Status)
	_, err = u.DrainUA(ctx)
	require.NoError(t, err)
}

// The judge is tried on targets that others wrote: it must find what is known to
// be wrong there, and nothing else.
func TestInitiatorIsRightAboutTargets(t *testing.T) {
	for _, kind := range []peers.Kind{peers.NAS, peers.TGT} {
		t.Run(kind.Name, func(t *testing.T) {
			tgt := startKind(t, kind)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, err := initiator.Dial(ctx, initiator.Config{Addr: tgt.Addr, Target: tgt.IQN, Tolerant: true})
			require.NoError(t, err)
			converse(ctx, t, s, s.Unit(uint16(tgt.LUN)))
			require.NoError(t, s.Logout(ctx))
			var found []initiator.Rule
			for _, v := range s.Violations() {
				if !slices.Contains(found, v.Rule) {
					found = append(found, v.Rule)
				}
			}
			require.ElementsMatch(t, knownDeviations[kind.Name], found, "%v", s.Violations())
		})
	}
}

// What 64 sessions write, each reads back, block by block.
func TestStampedBlocksOf64Sessions(t *testing.T) {
	for _, kind := range []peers.Kind{peers.NAS, peers.TGT} {
		t.Run(kind.Name, func(t *testing.T) {
			tgt := startKind(t, kind)
			r, err := load.Run(t.Context(), load.Options{
				Target: initiator.Config{Addr: tgt.Addr, Target: tgt.IQN}, LUN: uint16(tgt.LUN),
				Workload: load.Workload{
					Kind: load.Verify, Block: 8192, Depth: 4, Sessions: 64, Seed: 11,
					Duration: time.Minute, Count: 64 * 100,
				},
			})
			require.NoError(t, err)
			require.Zero(t, r.Mismatches, r.Wrong)
			require.NotZero(t, r.Verified)
		})
	}
}

// startKind runs a target of one kind on a disk of 64 MiB.
func startKind(t *testing.T, kind peers.Kind) *peers.Target {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.img")
	require.NoError(t, os.WriteFile(disk, nil, 0o600))
	require.NoError(t, os.Truncate(disk, 64*mib))
	tgt, err := kind.Start(t.Context(), dir, peers.Disk{Path: disk})
	require.NoError(t, err)
	t.Cleanup(tgt.Kill)
	return tgt
}
