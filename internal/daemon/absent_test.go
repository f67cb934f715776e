package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/initiator"
)

func notReady(t *testing.T, err error) {
	t.Helper()
	r, ok := initiator.AsStatus(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, initiator.NotReady, r.Sense.Key)
	require.Equal(t, initiator.ASC(0x0403), r.Sense.ASC)
}

// One LUN that cannot be opened is not ready, and known; the others serve. When
// it was mended an operator has it tried again, and it is there as it was.
func TestOneLUNThatCannotBeOpened(t *testing.T) {
	dir, disks := t.TempDir(), filepath.Join(t.TempDir(), "disks")
	conf := func() string {
		return `
  - name: ` + testTarget + `
    access: open
    luns:
      - {lun: 0, name: a, size: 8MiB, path: ` + disks + `/a.img}
      - {lun: 1, name: b, size: 16MiB}
`
	}
	require.NoError(t, os.Mkdir(disks, 0o700))
	d, err := Start(t.Context(), parse(t, dir, conf()), Options{})
	require.NoError(t, err)
	ctx := t.Context()
	s, one := node(t, d, "node1", 1)
	require.NoError(t, one.RegisterAndIgnore(ctx, 0x11, true))
	require.NoError(t, one.Reserve(ctx, 0x11, initiator.WriteExclusiveRegistrantsOnly))
	want := make([]byte, 4096)
	copy(want, "kept")
	require.NoError(t, one.Write(ctx, 8, want))
	id, err := one.Identification(ctx)
	require.NoError(t, err)
	require.NoError(t, s.Logout(ctx))
	stopTest(t, d)

	require.NoError(t, os.Rename(disks, disks+".away")) // a file system that is not mounted
	d = startTest(t, parse(t, dir, conf()))
	c := ask(t, dir)
	o, err := c.Overview(ctx)
	require.NoError(t, err)
	require.Equal(t, admin.HealthCritical, o.Health)
	require.False(t, o.Ready)
	require.Contains(t, codes(o.Problems), "lun_absent")

	s, err = initiator.Dial(ctx, dialConfig(d, "iqn.2026-11.test:node1"))
	require.NoError(t, err)
	defer s.Close()
	all, err := s.ReportLUNs(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2, "a disk that is away is not a disk that was removed")
	one = s.Unit(0)
	again, err := one.Identification(ctx)
	require.NoError(t, err)
	require.Equal(t, id, again)
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	_, err = one.Run(ctx, initiator.TestUnitReady())
	notReady(t, err)
	notReady(t, one.Write(ctx, 8, want))
	_, err = one.LoadCapacity(ctx)
	notReady(t, err)
	_, err = one.ReadKeys(ctx)
	notReady(t, err)
	notReady(t, one.RegisterAndIgnore(ctx, 0x22, true))
	other := s.Unit(1)
	_, err = other.DrainUA(ctx)
	require.NoError(t, err)
	require.NoError(t, other.Write(ctx, 0, want), "the other LUN serves")
	require.ErrorIs(t, c.ClearReservations(ctx, "a", "x"), admin.ErrRefused)
	require.ErrorIs(t, c.RetryLUN(ctx, "b"), admin.ErrRefused, "it is open")
	require.ErrorIs(t, c.RetryLUN(ctx, "x"), admin.ErrNotFound)
	err = c.RetryLUN(ctx, "a")
	require.ErrorIs(t, err, admin.ErrRefused)
	require.ErrorContains(t, err, "no such file or directory")
	notReady(t, one.Write(ctx, 8, want))

	require.NoError(t, os.Rename(disks+".away", disks))
	require.NoError(t, c.RetryLUN(ctx, "a"))
	seen, err := one.DrainUA(ctx)
	require.NoError(t, err)
	require.Contains(t, seen, initiator.ASC(0x3f0e))
	got, err := one.Read(ctx, 8, 8)
	require.NoError(t, err)
	require.Equal(t, want, got)
	keys, err := one.ReadKeys(ctx)
	require.NoError(t, err)
	require.Equal(t, []uint64{0x11}, keys.Keys)
	o, err = c.Overview(ctx)
	require.NoError(t, err)
	require.True(t, o.Ready)
	require.NotContains(t, codes(o.Problems), "lun_absent")
}

// An older copy of a reservation file, put back while the daemon was down, may
// show as registered who was fenced since.
func TestOlderReservationsFailClosed(t *testing.T) {
	for name, old := range map[string]bool{"an older copy": true, "the same file": false} {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			start := func() (*Daemon, *initiator.Session, *initiator.Unit) {
				d, err := Start(ctx, parse(t, dir, openTarget), Options{})
				require.NoError(t, err)
				s, u := node(t, d, "node1", 1)
				return d, s, u
			}
			d, s, one := start()
			require.NoError(t, one.RegisterAndIgnore(ctx, 0x11, true))
			require.NoError(t, s.Logout(ctx))
			path := filepath.Join(dir, "pr", d.now.Load().units["a"].id.String()+".pr")
			stopTest(t, d)
			saved, err := os.ReadFile(path)
			require.NoError(t, err)

			d, s, one = start()
			require.NoError(t, one.RegisterAndIgnore(ctx, 0x12, true))
			require.NoError(t, s.Logout(ctx))
			stopTest(t, d)
			if old {
				require.NoError(t, os.WriteFile(path, saved, 0o600))
			}

			d, s, one = start()
			defer stopTest(t, d)
			defer s.Close()
			err = one.Write(ctx, 0, make([]byte, 512))
			if !old {
				require.NoError(t, err)
				return
			}
			r, ok := initiator.AsStatus(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, initiator.DataProtect, r.Sense.Key)
			require.Equal(t, initiator.ASC(0x4401), r.Sense.ASC)
		})
	}
}
