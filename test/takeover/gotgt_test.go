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
func TestAgainstGOTGT(t *testing.T) {
	for _, kind := range []peers.Kind{peers.GOTGT, peers.NAS} {
		t.Run(kind.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			dir := t.TempDir()
			medium(t, dir, "disk.img", 12<<20)
			target, err := kind.Start(ctx, dir, peers.Disk{Path: filepath.Join(dir, "disk.img")})
			require.NoError(t, err)
			defer target.Kill()
			ours := kind.Name == peers.NAS.Name
			t.Run("register", func(t *testing.T) { register(t, ctx, target, ours) })
			t.Run("write same", func(t *testing.T) { writeSame(t, ctx, target, ours) })
			t.Run("login to no session", func(t *testing.T) { loginToNoSession(t, ctx, target, ours) })
		})
	}
}

func dial(ctx context.Context, target *peers.Target, tsih uint16) (*initiator.Session, error) {
	return initiator.Dial(ctx, initiator.Config{
		Addr: target.Addr, Target: target.IQN, InitiatorName: node, TSIH: tsih, Tolerant: true, LoginTimeout: 30 * time.Second,
	})
}

// login returns the disk, its unit attentions read.
func login(t *testing.T, ctx context.Context, target *peers.Target) *initiator.Unit {
	t.Helper()
	s, err := dial(ctx, target, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	u := s.Unit(uint16(target.LUN))
	_, err = u.DrainUA(ctx)
	require.NoError(t, err)
	_, err = u.LoadCapacity(ctx)
	require.NoError(t, err)
	return u
}

// register: reservations begin with READ KEYS and REGISTER. gotgt lists both
// among its commands and refuses both.
func register(t *testing.T, ctx context.Context, target *peers.Target, ours bool) {
	u := login(t, ctx, target)
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
}

// writeSame: gotgt answers GOOD and writes nothing.
func writeSame(t *testing.T, ctx context.Context, target *peers.Target, ours bool) {
	u := login(t, ctx, target)
	_, err := u.Run(ctx, initiator.WriteSame16(0, 8, bytes.Repeat([]byte{0x77}, 512), initiator.WriteSameOptions{}))
	require.NoError(t, err)
	block, err := u.Read(ctx, 0, 1)
	require.NoError(t, err)
	if ours {
		require.Equal(t, byte(0x77), block[0])
		return
	}
	require.Equal(t, "disk.img", string(block[:8]), "still what was there before")
}

// loginToNoSession is one login request that names a session which does not
// exist. It ends gotgt's process.
func loginToNoSession(t *testing.T, ctx context.Context, target *peers.Target, ours bool) {
	_, err := dial(ctx, target, 77)
	require.Error(t, err)
	if ours {
		login(t, ctx, target) // it serves on
		return
	}
	require.Eventually(t, target.Gone, 20*time.Second, 20*time.Millisecond, "the process is gone")
	require.Contains(t, target.Log(), "nil pointer dereference")
}
