package faults

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/test/sim"
)

// spoiled is a connection that damages what is written once it is armed.
type spoiled struct {
	net.Conn
	mu    sync.Mutex
	rng   *rand.Rand
	bits  int // to flip in the next write
	slice bool
}

func (s *spoiled) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bits > 0 {
		p = append([]byte(nil), p...)
		for range s.bits {
			n := s.rng.IntN(8 * len(p))
			p[n/8] ^= 1 << (n % 8)
		}
		s.bits = 0
	}
	if !s.slice {
		return s.Conn.Write(p)
	}
	done := 0
	for done < len(p) {
		n, err := s.Conn.Write(p[done:min(len(p), done+1+s.rng.IntN(1460))])
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// Read gives away little at a time, too.
func (s *spoiled) Read(p []byte) (int, error) {
	s.mu.Lock()
	if s.slice {
		p = p[:1+s.rng.IntN(min(len(p), 1460))]
	}
	s.mu.Unlock()
	return s.Conn.Read(p)
}

func (s *spoiled) flip(bits int) {
	s.mu.Lock()
	s.bits = bits
	s.mu.Unlock()
}

// through makes connections go through a spoiled one, which is left in to.
func through(to **spoiled, rng *rand.Rand, slice bool) func(*initiator.Config) {
	return func(c *initiator.Config) {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			*to = &spoiled{Conn: nc, rng: rng, slice: slice}
			return *to, nil
		}
	}
}

// TestFlippedBits: with digests no flipped bit gets into a block. The PDU is
// rejected, the task ends, or the connection does; RFC 7143 §7.8. F8.
func TestFlippedBits(t *testing.T) {
	const blocks = 32
	flips := sim.Size(t, "FAULT_FLIPS", 200)
	r := sim.Rand(sim.Seed(t), 0)
	bed := onWire(t, func(o *iscsi.Options, _ *iscsi.Node) { o.DataOutStall = 200 * time.Millisecond })
	var nc *spoiled
	var s *initiator.Session
	var u *initiator.Unit
	relogin := func() {
		s, u = briefly(t, config(bed, "flip", through(&nc, sim.Rand(r.Uint64(), 0), false), func(c *initiator.Config) {
			c.HeaderDigest, c.DataDigest = "CRC32C", "CRC32C"
		}))
	}
	relogin()
	ended, refused := 0, 0
	for n := range flips {
		before := bed.Content(0, blocks)
		data := sim.Stamp{Host: 1, Epoch: uint32(n + 1)}.Blocks(blocks)
		c := initiator.Write10(0, data, sim.BlockSize, 0)
		ctx, cancel := soon()
		bits := 1 + r.IntN(32)
		asked := n%2 == 0
		if c.NoUnsolicited, c.HoldData = asked, asked; !asked {
			nc.flip(bits)
		}
		task, err := u.Start(ctx, c)
		require.NoError(t, err)
		if asked {
			_, err = task.AwaitR2T(ctx)
			require.NoError(t, err)
			nc.flip(bits)
			task.Release()
		}
		if !asked {
			select { // without the command there will be no answer
			case <-task.Done():
			case <-s.Rejects():
				s.Reset()
			}
		}
		a, err := task.Wait(ctx)
		cancel()
		switch after := string(bed.Content(0, blocks)); {
		case after == string(data):
			t.Fatalf("flip %d: a write whose PDU was damaged is there: %v, %v", n, a, err)
		case after != string(before):
			t.Fatalf("flip %d: damaged data are in a block", n)
		case err == nil:
			require.NotEqual(t, initiator.Good, a.Status)
			refused++
		default:
			// Lost, or rejected and never to be answered. Error recovery
			// level 0: begin again.
			ended++
			s.Reset()
			s.Close()
			relogin()
			require.Equal(t, string(before), string(bed.Content(0, blocks)))
		}
	}
	s.Close()
	t.Logf("%d ended the connection or were rejected, %d the task", ended, refused)
	require.NotZero(t, ended)
	require.NotZero(t, refused)
	sim.Bound(t, "writes with flipped bits", flips)
}

// TestTinySegments: a stream that comes and goes in pieces of 1 to 1,460 bytes
// means the same. F9.
func TestTinySegments(t *testing.T) {
	r := sim.Rand(sim.Seed(t), 0)
	// Large enough that no thin provisioning threshold is reached.
	bed := sim.NewBed(sim.Config{Wire: true, Blocks: 1 << 17})
	t.Cleanup(bed.Close)
	var nc *spoiled
	_, u := login(t, config(bed, "slices", through(&nc, sim.Rand(r.Uint64(), 0), true), func(c *initiator.Config) {
		c.HeaderDigest, c.DataDigest = "CRC32C", "None,CRC32C"
	}))
	longest := time.Duration(0)
	for n := range sim.Size(t, "FAULT_SLICES", 60) {
		ctx, cancel := soon()
		lba, blocks := r.IntN(1024), 1+r.IntN(600)
		data := sim.Stamp{Host: 1, Epoch: uint32(n), LBA: uint32(lba)}.Blocks(blocks)
		begin := time.Now()
		require.NoError(t, u.Write(ctx, uint64(lba), data))
		got, err := u.Read(ctx, uint64(lba), uint32(blocks))
		require.NoError(t, err)
		require.Equal(t, string(data), string(got))
		longest = max(longest, time.Since(begin))
		cancel()
	}
	require.Less(t, longest, 5*time.Second)
}

// TestOneOfFourConnections: a session of four connections under load loses one
// after the other, and each comes back. What was on the lost one is lost; the
// rest goes on, and every block is what its last writer says. RFC 7143 §6.3.4.
func TestOneOfFourConnections(t *testing.T) {
	const conns, workers, area = 4, 16, 64
	bed := onWire(t, nil)
	s, u := login(t, config(bed, "mcs", func(c *initiator.Config) {
		c.Keys = initiator.Keys{{Name: "MaxConnections", Value: "4"}, {Name: "InitialR2T", Value: "Yes"}}
	}))
	rounds := sim.Size(t, "FAULT_CONNECTIONS", 12)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+time.Duration(rounds)*time.Second)
	defer cancel()
	for cid := 1; cid < conns; cid++ {
		_, err := s.AddConnection(ctx, "", uint16(cid))
		require.NoError(t, err)
	}
	// do runs a command. One that is lost with its connection may never have
	// reached the target, which waits for its number: another connection says
	// that it will not come. RFC 7143 §11.6.1.
	do := func(c initiator.Cmd) (initiator.Response, error) {
		task, err := u.Start(ctx, c)
		if err != nil {
			return initiator.Response{}, err
		}
		a, err := task.Wait(ctx)
		for lost := err; lost != nil && ctx.Err() == nil; {
			_, lost = s.Manage(ctx, initiator.TMFRequest{
				Function: initiator.TMFAbortTask, LUN: initiator.FlatLUN(0),
				ReferencedTag: task.ITT(), RefCmdSN: task.CmdSN(),
			})
		}
		return a, err
	}
	stop := make(chan struct{})
	type tally struct{ good, lost int }
	tallies := make([]tally, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			lba := w * area
			known := "" // one of two
			for seq := uint32(1); ; seq++ {
				select {
				case <-stop:
					return
				default:
				}
				data := sim.Stamp{Host: uint16(w), Seq: seq, LBA: uint32(lba)}.Blocks(8)
				if a, err := do(initiator.Write10(uint32(lba), data, sim.BlockSize, 0)); err != nil || a.Status != initiator.Good {
					tallies[w].lost++
					known = ""
				} else {
					tallies[w].good++
					known = string(data)
				}
				a, err := do(initiator.Read10(uint32(lba), 8, sim.BlockSize, 0))
				got := a.Data
				switch {
				case err != nil || a.Status != initiator.Good:
					tallies[w].lost++
				case known != "" && string(got) != known:
					t.Errorf("worker %d: block %d is not what was written last", w, lba)
					return
				case known == "":
					for b := 0; b < len(got); b += sim.BlockSize {
						if st, ok := sim.ReadStamp(got[b:]); ok && (!sim.Intact(got[b:b+sim.BlockSize]) || int(st.Host) != w) {
							t.Errorf("worker %d: %v in block %d", w, st, lba)
							return
						}
					}
				}
			}
		})
	}
	for n := range rounds {
		all := s.Conns()
		victim := all[n%len(all)]
		time.Sleep(5 * time.Millisecond) // load
		victim.Reset()
		<-victim.Done()
		require.NoError(t, s.Ping(ctx, []byte("the rest goes on")))
		require.Eventually(t, func() bool {
			_, err := s.AddConnection(ctx, "", victim.CID())
			return err == nil
		}, time.Minute, time.Millisecond)
	}
	close(stop)
	wg.Wait()
	var sum tally
	for _, x := range tallies {
		sum.good, sum.lost = sum.good+x.good, sum.lost+x.lost
	}
	t.Logf("%d connections lost, %d writes done, %d commands lost with them", rounds, sum.good, sum.lost)
	require.Greater(t, sum.good, rounds)
	require.Len(t, bed.Server().Sessions(), 1, "one session, all the time")
}
