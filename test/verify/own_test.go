package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/initiator"
	"nas-target/internal/verify"
)

const target = "iqn.2026-11.test.verify:disks"

// ours is a daemon of this repository with one disk behind two target ports.
type ours struct {
	paths   []verify.Path
	restart func(context.Context) error
}

func ownDaemon(t *testing.T) *ours {
	t.Helper()
	conf, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
portals:
  - {group: 1, listen: ["127.0.0.1:1"]}
  - {group: 2, listen: ["127.0.0.2:1"]}
targets:
  - name: %s
    access: open
    luns: [{lun: 1, name: a, size: 8MiB}]
`, t.TempDir(), target))
	require.NoError(t, err)
	for i := range conf.Portals {
		conf.Portals[i].Listen[0] = netip.AddrPortFrom(conf.Portals[i].Listen[0].Addr(), 0)
	}
	d, err := daemon.Start(t.Context(), conf, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Stop(context.Background())) })
	o := new(ours)
	for i, p := range d.Portals() {
		conf.Portals[i].Listen[0] = p
		o.paths = append(o.paths, verify.Path{
			URL: fmt.Sprintf("iscsi://%s/%s/1", p, target), LUN: 1,
			Login: initiator.Config{Addr: p.String(), Target: target},
		})
	}
	require.Len(t, o.paths, 2)
	o.restart = func(ctx context.Context) error {
		if err := d.Stop(ctx); err != nil {
			return err
		}
		next, err := daemon.Start(t.Context(), conf, daemon.Options{})
		if err == nil {
			d = next
		}
		return err
	}
	return o
}

// own is the paths to such a daemon.
func own(t *testing.T) []verify.Path { return ownDaemon(t).paths }

// explain writes what is wrong with a report, step by step.
func explain(r *verify.Report, which ...verify.Verdict) string {
	var b strings.Builder
	for _, c := range r.Cases {
		for _, v := range which {
			if c.Verdict != v {
				continue
			}
			fmt.Fprintf(&b, "%s %s (%s): %s\n", c.Verdict, c.ID, c.Clause, c.Reason)
			for _, s := range c.Steps {
				mark := " "
				if s.Wrong {
					mark = "!"
				}
				fmt.Fprintf(&b, "  %s %s: %s → %s\n", mark, s.Nexus, s.Did, s.Got)
			}
		}
	}
	return b.String()
}

// Our own target does what the cases demand, and has nothing left out.
func TestOwnTargetPasses(t *testing.T) {
	o := ownDaemon(t)
	first := blocks(t, o.paths[0].Login, 0, 16384)
	cases, err := verify.Select(verify.Suites(), verify.Profiles(), nil)
	require.NoError(t, err)
	report, err := verify.Run(t.Context(), verify.Options{
		Paths: o.paths, Cases: cases, Destructive: true, Offset: -1, Rounds: 3, RestartHook: o.restart,
	})
	require.NoError(t, err)
	require.Empty(t, report.Stopped)
	require.Empty(t, explain(report, verify.Fail, verify.Errored))
	var skipped []string
	for _, c := range report.Cases {
		if c.Verdict == verify.Skipped {
			skipped = append(skipped, c.ID)
		}
	}
	require.Equal(t, []string{"iscsi.login.chap-required", "iscsi.login.chap-wrong-secret", "durability.write.uncached"}, skipped)
	require.True(t, report.OK())
	require.True(t, bytes.Equal(first, blocks(t, o.paths[0].Login, 0, 16384)), "the data are not as they were")
}

// blocks reads the unit.
func blocks(t *testing.T, conf initiator.Config, lba uint64, n uint32) []byte {
	t.Helper()
	var all []byte
	require.NoError(t, atRestart(func(ctx context.Context, u *initiator.Unit) error {
		for at := uint64(0); at < uint64(n); at += 1024 {
			b, err := u.Read(ctx, lba+at, 1024)
			if err != nil {
				return err
			}
			all = append(all, b...)
		}
		return nil
	})(t, conf)(t.Context()))
	return all
}

// Where a name and a secret are asked for, who has neither is refused.
func TestChap(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "chap-secrets"), []byte("node a-long-secret-of-node\n"), 0o600))
	conf, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
portals: [{group: 1, listen: ["127.0.0.1:1"]}]
targets:
  - name: %s
    initiators: [{name: "iqn.2026-11.local.nas-target:verify", chap: {user: node}}]
    luns: [{lun: 1, name: a, backstore: ram, size: 8MiB}]
`, dir, target))
	require.NoError(t, err)
	conf.Portals[0].Listen[0] = netip.MustParseAddrPort("127.0.0.1:0")
	d, err := daemon.Start(t.Context(), conf, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Stop(context.Background())) })
	login := initiator.Config{Addr: d.Portals()[0].String(), Target: target, CHAP: &initiator.CHAP{User: "node", Secret: "a-long-secret-of-node"}}
	ask := func(l lie, dial bool) *verify.Report {
		p := verify.Path{URL: "x", LUN: 1, Login: login}
		if dial {
			p.Login = l.through(p.Login)
		}
		report, err := verify.Run(t.Context(), verify.Options{Paths: []verify.Path{p}, Cases: matching(t, "iscsi.login.*"), Patience: 2 * time.Second})
		require.NoError(t, err)
		return report
	}
	report := ask(lie{}, false)
	require.Empty(t, explain(report, verify.Fail, verify.Errored))
	for _, c := range report.Cases {
		require.Equal(t, c.ID == "iscsi.login.operational-first", c.Verdict == verify.Skipped, c.ID)
	}
	// A target that takes the blame for a wrong name is not right.
	report = ask(classThree, true)
	for _, c := range report.Cases {
		if strings.Contains(c.ID, "chap") {
			require.Equal(t, verify.Fail, c.Verdict, c.ID)
		}
	}
}

// ^C in the middle of a case leaves nothing behind, and is not held against the
// target: here it comes while the victim writes, together with the PREEMPT.
func TestInterrupted(t *testing.T) {
	for _, id := range []string{"fencing.race.preempt", "fencing.race.mutual", "fencing.withheld.preempt", "fencing.late.same-port"} {
		t.Run(id, func(t *testing.T) {
			o := ownDaemon(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			interrupted := interrupting(o.paths, int(initiator.PRPreempt), cancel)
			report, err := verify.Run(ctx, verify.Options{Paths: interrupted, Cases: matching(t, "pr.register.new "+id+" windows-cluster.*"), Destructive: true, Offset: -1})
			require.NoError(t, err)
			require.Equal(t, "interrupted", report.Stopped)
			require.False(t, report.OK())
			last := report.Cases[len(report.Cases)-1]
			require.Equal(t, []any{id, verify.Errored, "interrupted"}, []any{last.ID, last.Verdict, last.Reason}, explain(report, verify.Fail))
			require.Zero(t, report.Required.Fail+report.Rest.Fail)
			untouched(t, o)
		})
	}
}

// ^C before the first case leaves nothing behind either.
func TestInterruptedWhileClearing(t *testing.T) {
	o := ownDaemon(t)
	require.NoError(t, atRestart(func(ctx context.Context, u *initiator.Unit) error { return u.Register(ctx, 0, 0xa1) })(t, o.paths[1].Login)(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupted := interrupting(o.paths, int(initiator.PRRegisterAndIgnore), cancel)
	_, err := verify.Run(ctx, verify.Options{Paths: interrupted, Cases: matching(t, "pr.register.new"), Destructive: true, ClearRegistered: true, Offset: -1})
	require.ErrorIs(t, err, context.Canceled)
	untouched(t, o)
}

// interrupting cancels when a service action of PERSISTENT RESERVE OUT is on its
// way, before the target has seen it.
func interrupting(paths []verify.Path, action int, cancel context.CancelFunc) []verify.Path {
	l := lie{request: func(_ *liar, p *initiator.PDU) {
		if is(p, 0x5f, action) {
			cancel()
		}
	}}
	paths = slices.Clone(paths)
	for i := range paths {
		paths[i].Login = l.through(paths[i].Login)
	}
	return paths
}

// untouched demands that no key is registered and that the range is as it was.
func untouched(t *testing.T, o *ours) {
	t.Helper()
	require.NoError(t, atRestart(func(ctx context.Context, u *initiator.Unit) error {
		k, err := u.ReadKeys(ctx)
		require.Empty(t, k.Keys)
		return err
	})(t, o.paths[0].Login)(t.Context()))
	require.Equal(t, make([]byte, 2048*512), blocks(t, o.paths[0].Login, 14336, 2048))
}

// Somebody else who registers while a run goes on stops it, and keeps what is
// theirs.
func TestOthersAreLeftAlone(t *testing.T) {
	o := ownDaemon(t)
	register := atRestart(func(ctx context.Context, u *initiator.Unit) error { return u.Register(ctx, 0, 0xa1) })(t, o.paths[1].Login)
	report, err := verify.Run(t.Context(), verify.Options{
		Paths: o.paths, Cases: matching(t, "pr.register.*"), Destructive: true, Offset: -1,
		Ended: func(r verify.Result) {
			if r.ID == "pr.register.key-mismatch" {
				require.NoError(t, register(t.Context()))
			}
		},
	})
	require.NoError(t, err)
	require.Contains(t, report.Stopped, "others have registered meanwhile")
	require.NoError(t, atRestart(func(ctx context.Context, u *initiator.Unit) error {
		k, err := u.ReadKeys(ctx)
		require.Equal(t, []uint64{0xa1}, k.Keys)
		return err
	})(t, o.paths[0].Login)(t.Context()))
}

// What an earlier run left behind is no stranger's.
func TestRemainsOfAnEarlierRun(t *testing.T) {
	o := ownDaemon(t)
	require.NoError(t, atRestart(func(ctx context.Context, u *initiator.Unit) error {
		if err := u.Register(ctx, 0, 0x6e617376_1234_0001); err != nil {
			return err
		}
		return u.Reserve(ctx, 0x6e617376_1234_0001, initiator.ExclusiveAccess)
	})(t, o.paths[0].Login)(t.Context()))
	report, err := verify.Run(t.Context(), verify.Options{Paths: o.paths, Cases: matching(t, "pr.register.new"), Destructive: true, Offset: -1})
	require.NoError(t, err)
	require.True(t, report.OK(), explain(report, verify.Fail, verify.Errored))
}

// Two URLs of two units are refused.
func TestAnotherUnitIsRefused(t *testing.T) {
	a, b := ownDaemon(t), ownDaemon(t)
	_, err := verify.Run(t.Context(), verify.Options{Paths: []verify.Path{a.paths[0], b.paths[0]}, Cases: matching(t, "scsi.*")})
	require.ErrorIs(t, err, verify.ErrUsage)
	require.ErrorContains(t, err, "another logical unit")
}
