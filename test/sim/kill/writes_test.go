package kill

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// TestAcknowledgedWritesSurviveKill: after the kill each block holds the last
// write that was acknowledged, or one that was sent later, whole. F12, G2.
func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	kills := sim.Size(t, "WRITE_KILLS", 40)
	seed := sim.Seed(t)
	d := newDaemon(t)
	d.start()
	const writers, share = 4, diskBlocks / 8
	logs := make([]*ledger, writers)
	for i := range logs {
		logs[i] = &ledger{first: (i + 1) * share, host: uint16(i + 1), acked: make([]uint32, share), sent: make([]uint32, share)}
	}
	for k := range kills {
		var wg sync.WaitGroup
		for i, l := range logs {
			h := d.login(t, fmt.Sprintf("w%d", i))
			wg.Add(1)
			go func() {
				defer wg.Done()
				l.write(h, sim.Rand(seed, k*writers+i))
			}()
		}
		time.Sleep(time.Duration(5+sim.Rand(seed, k).IntN(60)) * time.Millisecond)
		d.kill()
		wg.Wait()
		d.start()
		h := d.login(t, "reader")
		for _, l := range logs {
			require.NoError(t, l.check(h), "kill %d", k)
		}
		h.Logout()
	}
	total := 0
	for _, l := range logs {
		total += l.count
	}
	require.Empty(t, d.remote.Violations())
	t.Logf("%d writes were acknowledged", total)
	require.Greater(t, total, kills*10)
	sim.Bound(t, "kills", kills)
}

// ledger is what one writer knows of its part of the disk.
type ledger struct {
	first int
	host  uint16

	seq   uint32
	acked []uint32 // per block: the last write acknowledged
	sent  []uint32 // and the last sent
	count int
}

// write writes until the path is gone: plain, with FUA, in several sizes, one
// at a time so that the order is known.
func (l *ledger) write(h sim.Host, r *rand.Rand) {
	for {
		at, n := r.IntN(len(l.acked)-100), 1+r.IntN(8)
		if r.IntN(4) == 0 {
			n = 1 + r.IntN(100)
		}
		l.seq++
		lba := l.first + at
		c := initiator.Write16(uint64(lba), sim.Stamp{Host: l.host, Seq: l.seq, LBA: uint32(lba)}.Blocks(n), sim.BlockSize, 0)
		if r.IntN(4) == 0 {
			c.CDB[1] |= byte(initiator.FUA)
		}
		for i := range n {
			l.sent[at+i] = l.seq
		}
		a := sim.Retry(h, c)
		if a.Fate == sim.Lost {
			return
		}
		if !a.Good() {
			panic(a.String())
		}
		l.count++
		for i := range n {
			l.acked[at+i] = l.seq
		}
	}
}

// check reads the part back. What was under way and is there counts from now on.
func (l *ledger) check(h sim.Host) error {
	const step = 128
	for at := 0; at < len(l.acked); at += step {
		a := sim.Must(h, initiator.Read16(uint64(l.first+at), step, sim.BlockSize, 0))
		for i := range step {
			b := a.Data[i*sim.BlockSize : (i+1)*sim.BlockSize]
			s, ok := sim.ReadStamp(b)
			lba := l.first + at + i
			switch {
			case !ok && l.acked[at+i] == 0 && bytes.Equal(b, make([]byte, sim.BlockSize)):
				continue
			case !ok || !sim.Intact(b) || s.Host != l.host || s.LBA != uint32(lba):
				return fmt.Errorf("block %d holds %v, write %d was acknowledged: % x", lba, s, l.acked[at+i], b[:32])
			case s.Seq != l.acked[at+i] && s.Seq != l.sent[at+i]:
				return fmt.Errorf("block %d holds %v; write %d was acknowledged, %d sent last", lba, s, l.acked[at+i], l.sent[at+i])
			}
			l.acked[at+i] = s.Seq
			l.sent[at+i] = s.Seq
		}
	}
	return nil
}
