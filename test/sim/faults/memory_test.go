package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
	"nas-target/test/sim"
)

// resident is how much memory a process has, in KiB.
func resident(t *testing.T, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "VmRSS:" {
			n, err := strconv.Atoi(string(f[1]))
			require.NoError(t, err)
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestMemoryOfSessions: what sessions cost the daemon, idle and busy. F18. The
// table in docs/performance.md comes from `make memory`.
func TestMemoryOfSessions(t *testing.T) {
	idle, busy := sim.Size(t, "MEMORY_IDLE", 48), sim.Size(t, "MEMORY_BUSY", 12)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	target := startDaemon(t, peers.Disk{RAM: 64 << 20, NoPings: true})
	var all []*initiator.Session
	defer func() {
		for _, s := range all {
			s.Close()
		}
	}()
	more := func(n int) {
		for range n {
			s, err := initiator.Dial(ctx, initiator.Config{
				Addr: target.Addr, Target: target.IQN, Tolerant: true,
				InitiatorName: fmt.Sprintf("iqn.2026-11.test:h%d", len(all)/4), ISID: sim.ISID(byte(len(all)%4 + 1)),
			})
			require.NoError(t, err)
			_, err = s.Unit(uint16(target.LUN)).DrainUA(ctx)
			require.NoError(t, err)
			all = append(all, s)
		}
	}
	more(1)
	none := resident(t, target.PID())
	more(idle - 1)
	quiet := resident(t, target.PID())
	var wg sync.WaitGroup
	over := time.Now().Add(time.Duration(sim.Size(t, "MEMORY_SECONDS", 1)) * time.Second)
	for _, s := range all[:min(busy, len(all))] {
		u := s.Unit(uint16(target.LUN))
		for range 4 {
			wg.Go(func() {
				data := make([]byte, 64<<10)
				for n := uint64(0); time.Now().Before(over); n++ {
					if err := u.Write(ctx, n%512*128, data); err != nil {
						t.Error(err)
						return
					}
					if _, err := u.Read(ctx, n%512*128, 128); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	peak := 0
	for time.Now().Before(over) {
		peak = max(peak, resident(t, target.PID()))
		time.Sleep(50 * time.Millisecond)
	}
	wg.Wait()
	t.Logf("| nobody but one | %.1f MiB | |", float64(none)/1024)
	t.Logf("| %d idle sessions | %.1f MiB | %d KiB |", idle, float64(quiet)/1024, (quiet-none)/max(1, idle-1))
	t.Logf("| %d of them busy, 4 commands of 64 KiB each | %.1f MiB | %d KiB |", busy, float64(peak)/1024, (peak-quiet)/busy)
	// The payload of commands is bounded by 256 MiB; G31 of half as much more
	// and 64 MiB is the bound of all.
	require.Less(t, peak, (256*3/2+64)<<10)
}
