package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
	"nas-target/test/sim"
)

// TestRestartUnderLoad: the daemon is stopped, or killed, and started again
// while hosts write; every second host has two paths. Nobody is told anything
// but to come back, all are back soon, no command ends with an error, and what
// was acknowledged is there. F21.
func TestRestartUnderLoad(t *testing.T) {
	hosts, restarts := sim.Size(t, "RESTART_SESSIONS", 24), sim.Size(t, "RESTARTS", 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(restarts)*30*time.Second)
	defer cancel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.img")
	require.NoError(t, os.WriteFile(disk, nil, 0o600))
	require.NoError(t, os.Truncate(disk, 64<<20))
	target := startDaemon(t, peers.Disk{Path: disk})

	all := make([]*commuter, hosts)
	stop := make(chan struct{})
	failed := make(chan error, hosts)
	var wg sync.WaitGroup
	for n := range all {
		h := &commuter{n: n, target: target.IQN, lun: uint16(target.LUN), paths: []string{target.Addr}}
		if n%2 == 0 {
			h.paths = append(h.paths, target.Also)
		}
		all[n] = h
		wg.Go(func() {
			if err := h.run(ctx, stop); err != nil {
				failed <- fmt.Errorf("host %d: %w", n, err)
			}
		})
	}
	// everybody waits until all hosts have come so far since they began anew.
	everybody := func(logins, writes int64) {
		t.Helper()
		require.Eventually(t, func() bool {
			return len(failed) > 0 || !slices.ContainsFunc(all, func(h *commuter) bool {
				return h.logins.Load() < logins || h.writes.Load() < writes
			})
		}, time.Minute, time.Millisecond)
	}
	anew := func() {
		for _, h := range all {
			h.logins.Store(0)
			h.writes.Store(0)
		}
	}
	everybody(1, 1)
	slowest := time.Duration(0)
	for n := range restarts {
		everybody(1, 20) // load
		begin := time.Now()
		if n%2 == 0 {
			require.NoError(t, target.Stop())
		} else {
			target.Kill()
		}
		anew()
		require.NoError(t, target.Restart(ctx))
		everybody(1, 0)
		slowest = max(slowest, time.Since(begin))
	}
	close(stop)
	wg.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	writes := uint32(0)
	for _, h := range all {
		writes += h.acked
	}
	t.Logf("%d hosts, %d restarts, %d writes; all were back after %v at most", hosts, restarts, writes, slowest)
	require.Less(t, slowest, sim.Limit(10*time.Second))
}

// commuter is a host that writes a block of its own again and again, and comes
// back whenever it loses its session.
type commuter struct {
	n      int
	target string
	lun    uint16
	paths  []string

	logins, writes atomic.Int64 // since it began anew
	acked, sent    uint32
}

func (h *commuter) run(ctx context.Context, stop chan struct{}) error {
	for try := 0; ; try++ {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		s, err := initiator.Dial(ctx, initiator.Config{
			Addr: h.paths[try%len(h.paths)], Target: h.target, Tolerant: true,
			InitiatorName: fmt.Sprintf("iqn.2026-11.test:h%d", h.n), ISID: sim.ISID(byte(try%len(h.paths) + 1)),
		})
		var told *initiator.LoginError
		if errors.As(err, &told) && told.Class() == 2 {
			return err // initiators do not come back after this
		}
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		err = h.work(ctx, s, stop)
		s.Close()
		if err != nil {
			return err
		}
	}
}

// work writes and reads until the session is lost, or the target asks for the
// logout.
func (h *commuter) work(ctx context.Context, s *initiator.Session, stop chan struct{}) error {
	u := s.Unit(h.lun)
	if _, err := u.DrainUA(ctx); err != nil {
		return lostOr(err)
	}
	for first := true; ; first = false {
		b, err := u.Read(ctx, uint64(h.n*8), 1)
		if err != nil {
			return lostOr(err)
		}
		stamp, ok := sim.ReadStamp(b)
		switch {
		case !ok && h.acked == 0:
		case !ok || !sim.Intact(b) || int(stamp.Host) != h.n || stamp.Seq != h.acked && stamp.Seq != h.sent:
			return fmt.Errorf("%v is there; write %d was acknowledged, %d sent last", stamp, h.acked, h.sent)
		}
		if first {
			h.logins.Add(1)
		}
		select {
		case <-stop:
			return lostOr(s.Logout(ctx))
		case a := <-s.Async():
			if a.Event == initiator.AsyncLogoutRequest {
				return lostOr(s.Logout(ctx))
			}
		default:
		}
		h.sent++
		if err := u.Write(ctx, uint64(h.n*8), sim.Stamp{Host: uint16(h.n), Seq: h.sent, LBA: uint32(h.n * 8)}.Blocks(1)); err != nil {
			return lostOr(err)
		}
		h.acked = h.sent
		h.writes.Add(1)
	}
}

// lostOr forgives the loss of the session and nothing that the target said.
func lostOr(err error) error {
	var check *initiator.StatusError
	if errors.As(err, &check) {
		return err
	}
	return nil
}
