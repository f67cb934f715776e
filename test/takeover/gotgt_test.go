package takeover

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

// What docs/guides/gotgt.md says of gotgt v0.2.2 is shown here, and by the same
// script that our daemon does otherwise.

// subject runs a target with one disk of 12 MiB that begins with "disk.img".
func subject(t *testing.T, kind peers.Kind) (ctx context.Context, target *peers.Target, login func(t *testing.T, name string) *initiator.Unit) {
	t.Helper()
	dir := t.TempDir()
	medium(t, dir, "disk.img", 12<<20)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	target, err := kind.Start(ctx, dir, peers.Disk{Path: filepath.Join(dir, "disk.img")})
	require.NoError(t, err)
	t.Cleanup(func() { target.Kill() })
	return ctx, target, func(t *testing.T, name string) *initiator.Unit {
		s, err := initiator.Dial(ctx, initiator.Config{Addr: target.Addr, Target: target.IQN, InitiatorName: node + name, Tolerant: true})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		u := s.Unit(uint16(target.LUN))
		_, err = u.LoadCapacity(ctx)
		if err != nil { // a unit attention, which ours raises
			_, err = u.DrainUA(ctx)
			require.NoError(t, err)
			_, err = u.LoadCapacity(ctx)
		}
		require.NoError(t, err)
		return u
	}
}

// each runs a script against both targets: what gotgt does, what ours does.
func each(t *testing.T, script func(t *testing.T, ctx context.Context, target *peers.Target, login func(*testing.T, string) *initiator.Unit, ours bool)) {
	for _, kind := range []peers.Kind{peers.GOTGT, peers.NAS} {
		t.Run(kind.Name, func(t *testing.T) {
			ctx, target, login := subject(t, kind)
			script(t, ctx, target, login, kind.Name == peers.NAS.Name)
		})
	}
}

// Persistent reservations begin with READ KEYS and REGISTER. gotgt lists both
// among its commands and refuses both.
func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, _ *peers.Target, login func(*testing.T, string) *initiator.Unit, ours bool) {
		u := login(t, "1")
		none, errKeys := u.ReadKeys(ctx)
		errRegister := u.Register(ctx, 0, 0xa)
		if ours {
			require.NoError(t, errKeys)
			require.Empty(t, none.Keys)
			require.NoError(t, errRegister)
			return
		}
		for _, err := range []error{errKeys, errRegister} {
			r, ok := initiator.AsStatus(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, initiator.CheckCondition, r.Status)
		}
	})
}

// WRITE SAME answers GOOD and writes nothing.
func TestWriteSame(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, _ *peers.Target, login func(*testing.T, string) *initiator.Unit, ours bool) {
		u := login(t, "1")
		_, err := u.Run(ctx, initiator.WriteSame16(0, 8, bytes.Repeat([]byte{0x77}, 512), initiator.WriteSameOptions{}))
		require.NoError(t, err)
		block, err := u.Read(ctx, 0, 1)
		require.NoError(t, err)
		if ours {
			require.Equal(t, byte(0x77), block[0])
			return
		}
		require.Equal(t, "disk.img", string(block[:8]), "still what was there before")
	})
}

// One login request that names a session which does not exist.
func TestLoginToNoSession(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, target *peers.Target, _ func(*testing.T, string) *initiator.Unit, ours bool) {
		_, err := initiator.Dial(ctx, initiator.Config{Addr: target.Addr, Target: target.IQN, InitiatorName: node, TSIH: 77, Tolerant: true, LoginTimeout: 5 * time.Second})
		require.Error(t, err)
		if ours {
			s, err := initiator.Dial(ctx, initiator.Config{Addr: target.Addr, Target: target.IQN, InitiatorName: node})
			require.NoError(t, err, "it serves on")
			require.NoError(t, s.Close())
			return
		}
		require.Eventually(t, target.Gone, 10*time.Second, 20*time.Millisecond, "the process is gone")
		require.Contains(t, target.Log(), "nil pointer dereference")
	})
}
