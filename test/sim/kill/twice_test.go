package kill

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// TestNobodyServesWhileTheOldProcessLives: a daemon that hangs, and wakes up
// later, is not replaced while it can still write; once it is dead it is. F28,
// and what can be had of F29 without a disk that hangs.
func TestNobodyServesWhileTheOldProcessLives(t *testing.T) {
	d := newDaemon(t)
	d.start()
	h := d.login(t, "host")
	sim.Must(h, sim.Join(1))
	sim.Must(h, sim.PR(initiator.PRReserve, initiator.WriteExclusive, 1, 0))
	sim.Must(h, initiator.Write16(7, sim.Stamp{Seq: 1, LBA: 7}.Blocks(1), sim.BlockSize, 0))
	old, oldGone := d.cmd, d.gone
	require.NoError(t, old.Process.Signal(syscall.SIGSTOP))

	// The second one has portals of its own, so that only the store and the
	// disk can stop it.
	second := *d
	second.remote = &sim.Remote{Target: targetName, Addrs: []string{freeAddr(t), freeAddr(t)}}
	second.configure()
	second.launch()
	defer second.end()
	select {
	case <-second.gone: // it refused
	case <-time.After(300 * time.Millisecond): // it waits
	}
	for _, addr := range second.remote.Addrs {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			host, err := second.remote.Login(sim.Who{Node: "other"})
			require.Error(t, err, "two processes serve one disk: %v", host)
		}
	}
	require.NoError(t, old.Process.Signal(syscall.SIGCONT))
	old.Process.Kill()
	<-oldGone

	if !second.comesUp() {
		second.start()
	}
	w, err := second.remote.Login(sim.Who{Node: "other"})
	require.NoError(t, err)
	a := sim.Retry(w, initiator.Write16(7, sim.Stamp{Seq: 2, LBA: 7}.Blocks(1), sim.BlockSize, 0))
	require.True(t, a.Conflict(), "%v", a)
	got := sim.Must(w, initiator.Read16(7, 1, sim.BlockSize, 0)).Data
	require.Equal(t, sim.Stamp{Seq: 1, LBA: 7}.Blocks(1), got)
}
