package iscsi

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// done is a context that is over: Shutdown closes what is left at once.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// onTCP is a rig whose portal is a real one.
func onTCP(t *testing.T, opts ...func(*Options)) (*rig, func() *iscsitest.Initiator) {
	r := &rig{t: t, target: iscsitest.NewTarget()}
	o := Options{Events: r.events(), PingInterval: time.Hour} // a slow machine is no quiet initiator
	for _, f := range opts {
		f(&o)
	}
	r.srv = NewServer(o)
	r.node = &Node{
		Name: testTarget, Groups: []uint16{1},
		Authorize: func(InitiatorInfo) (*Auth, *LoginError) { return nil, nil },
		Attach:    func(scsi.Nexus, InitiatorInfo) (Target, error) { return r.target, nil },
	}
	r.srv.SetNodes([]*Node{r.node})
	require.NoError(t, r.srv.AddPortal(Portal{Address: "127.0.0.1:0", TPGT: 1}))
	r.srv.Serve()
	t.Cleanup(func() { r.srv.Shutdown(done()) })
	return r, func() *iscsitest.Initiator {
		nc, err := net.Dial("tcp", r.srv.Addr("127.0.0.1:0").String())
		require.NoError(t, err)
		return iscsitest.New(t, nc)
	}
}

// Everything at once over a real socket: deep queues, large and small,
// digests, many segments; every byte is compared.
func TestTCPTraffic(t *testing.T) {
	for _, keys := range []string{
		"MaxRecvDataSegmentLength=8192 MaxBurstLength=65536 MaxOutstandingR2T=4",
		"MaxRecvDataSegmentLength=262144 InitialR2T=No",
		"MaxRecvDataSegmentLength=65536 HeaderDigest=CRC32C DataDigest=CRC32C InitialR2T=No",
	} {
		t.Run(keys, func(t *testing.T) {
			_, dial := onTCP(t)
			i := dial()
			i.Login(testTarget, keys)
			rng := rand.New(rand.NewPCG(1, 2))
			const area = 4096 // blocks of each slot
			type slot struct {
				data  []byte
				cmd   *pdu.SCSICommand
				write bool
				got   []byte
			}
			slots := make([]slot, 8)
			start := func(n int) {
				s := &slots[n]
				s.write = s.data == nil || rng.IntN(2) == 0
				if s.write {
					blocks := 1 + rng.IntN(600)
					s.data = pattern(blocks*512, byte(rng.Uint32()))
					s.cmd = i.Write10(uint32(n*area), uint16(blocks))
					imm := min(rng.IntN(65536), len(s.data), 65536) &^ 3
					i.Send(s.cmd, s.data[:imm])
				} else {
					s.cmd, s.got = i.Read10(uint32(n*area), uint16(len(s.data)/512)), nil
					i.Send(s.cmd, nil)
				}
			}
			find := func(itt uint32) *slot {
				for n := range slots {
					if slots[n].cmd != nil && slots[n].cmd.ITT == itt {
						return &slots[n]
					}
				}
				t.Fatalf("answer to nobody: %x", itt)
				return nil
			}
			for n := range slots {
				start(n)
			}
			for rounds := 0; rounds < 400; {
				p, data, err := i.Read()
				require.NoError(t, err)
				var s *slot
				switch p := p.(type) {
				case *pdu.R2T:
					s = find(p.ITT)
					at, end := p.BufferOffset, p.BufferOffset+p.DesiredLength
					for sn := uint32(0); at < end; sn++ {
						n := min(1+uint32(rng.IntN(200000)), end-at)
						i.Send(i.DataOut(p, sn, at, at+n == end), s.data[at:at+n])
						at += n
					}
					continue
				case *pdu.DataIn:
					s = find(p.ITT)
					s.got = append(s.got, data...)
					if !p.HasStatus {
						continue
					}
					require.Equal(t, string(s.data), string(s.got))
				case *pdu.SCSIResponse:
					s = find(p.ITT)
					require.Equal(t, uint8(scsi.Good), p.Status)
				case *pdu.NOPIn:
					continue
				}
				rounds++
				for n := range slots {
					if &slots[n] == s {
						start(n)
					}
				}
			}
		})
	}
}

// Workers finish tasks while the connection reads: the answers go out from
// whoever holds the role, each once.
func TestTCPWithWorkers(t *testing.T) {
	r, dial := onTCP(t)
	work, quit := make(chan *scsi.Task, 1000), make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case x := <-work:
					r.target.Finish(x)
				case <-quit:
					return
				}
			}
		})
	}
	defer func() { close(quit); wg.Wait() }()
	var n atomic.Int32
	r.target.Enter = func(x *scsi.Task, resume bool) (scsi.Progress, bool) {
		if n.Add(1)%3 == 0 || x.CDB[0] == 0x2a && len(x.Out) < int(x.OutLen) {
			return 0, true
		}
		if x.Borrowed {
			x.Borrowed, x.Out = false, append([]byte(nil), x.Out...)
		}
		work <- x
		return scsi.Pending, false
	}
	i := dial()
	i.Login(testTarget, "MaxRecvDataSegmentLength=65536")
	open := map[uint32]bool{}
	send := func() {
		var c *pdu.SCSICommand
		var data []byte
		if len(open)%2 == 0 {
			c = i.Read10(uint32(len(open)), 8)
		} else {
			c, data = i.Write10(uint32(len(open)), 8), make([]byte, 4096)
		}
		open[c.ITT] = true
		i.Send(c, data)
	}
	for range 64 {
		send()
	}
	for range 5000 {
		p, _, err := i.Read()
		require.NoError(t, err)
		var itt uint32
		switch p := p.(type) {
		case *pdu.DataIn:
			itt = p.ITT
		case *pdu.SCSIResponse:
			itt = p.ITT
		default:
			continue
		}
		require.True(t, open[itt], "answered twice")
		delete(open, itt)
		send()
	}
}

// A stuck call over a real socket: the connection goes on without it.
func TestTCPStuckCommand(t *testing.T) {
	r, dial := onTCP(t)
	release := stuck(r)
	i := dial()
	i.Login(testTarget, "MaxRecvDataSegmentLength=65536")
	w := i.Write10(99, 8)
	i.Send(w, pattern(4096, 1))
	for range 100 {
		ping(i)
		q := i.Write10(1, 8)
		i.Send(q, make([]byte, 4096))
		good(i, q)
	}
	close(release)
	good(i, w)
	b := r.target.Block(99)
	require.Equal(t, pattern(4096, 1)[:512], b[:])
}

// A client that stops reading, over real buffers: memory is bounded, and
// everything is there when it reads again.
func TestTCPSlowReader(t *testing.T) {
	r, dial := onTCP(t)
	i := dial()
	i.Login(testTarget, "MaxRecvDataSegmentLength=262144 MaxBurstLength=262144")
	want := store(i, 0, 2048)
	got := map[uint32][]byte{}
	for range 64 {
		c := i.Read10(0, 2048)
		i.Send(c, nil)
		got[c.ITT] = nil
	}
	require.Eventually(t, func() bool { return r.srv.Sessions()[0].Conns[0].Unsent > 1<<20 }, 10*time.Second, time.Millisecond)
	require.LessOrEqual(t, r.srv.Sessions()[0].Conns[0].Unsent, r.srv.opt.SessionBytes+1<<20)
	for len(got) > 0 { // on a slow machine one may be left behind and answered later
		d, data := iscsitest.Expect[*pdu.DataIn](i)
		require.EqualValues(t, len(got[d.ITT]), d.BufferOffset)
		got[d.ITT] = append(got[d.ITT], data...)
		if d.HasStatus {
			require.True(t, string(want) == string(got[d.ITT]))
			delete(got, d.ITT)
		}
	}
}

// Logins, I/O, cuts, aborts and reinstatements at random, from many sides:
// nothing stays behind and nothing stands still.
func TestTCPStorm(t *testing.T) {
	r, dial := onTCP(t, func(o *Options) { o.LoginFailures, o.MaxLoginsPerSource = 1<<20, 1000 })
	r.node.Attach = func(scsi.Nexus, InitiatorInfo) (Target, error) {
		x := iscsitest.NewTarget()
		x.Enter = func(*scsi.Task, bool) (scsi.Progress, bool) {
			if rand.IntN(50) == 0 {
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			}
			return 0, true
		}
		return x, nil
	}
	stop := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	for host := range 6 {
		wg.Go(func() {
			for time.Now().Before(stop) {
				i := dial()
				i.Name = fmt.Sprintf("iqn.2026-11.test:host%d", host/2) // two of each fight for one nexus
				storm(i, stop)
				i.Conn.Close()
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		return len(r.srv.conns) == 0 && r.srv.memory.Load() == 0
	}, 10*time.Second, time.Millisecond)
}

// storm plays one connection until it is cut or bored.
func storm(i *iscsitest.Initiator, stop time.Time) {
	q := i.LoginRequest(1, 3, true)
	text := iscsitest.Text("InitiatorName=" + i.Name + " TargetName=" + testTarget + " DefaultTime2Retain=0 MaxRecvDataSegmentLength=65536 InitialR2T=No")
	write := func(p pdu.PDU, data []byte) bool {
		_, err := i.Conn.Write(i.Encode(p, nil, data))
		return err == nil
	}
	if !write(q, text.Append(nil)) {
		return
	}
	go io.Copy(io.Discard, i.Conn)
	var last *pdu.SCSICommand
	for range rand.IntN(200) {
		if time.Now().After(stop) {
			return
		}
		var ok bool
		switch k := rand.IntN(20); {
		case k < 8:
			last = i.Read10(uint32(rand.IntN(1000)), uint16(rand.IntN(200)))
			ok = write(last, nil)
		case k < 14:
			last = i.Write10(uint32(rand.IntN(1000)), 16)
			ok = write(last, make([]byte, 8192))
		case k < 16:
			last = i.Write10(0, 64)
			last.Final = false
			ok = write(last, make([]byte, 4096)) && write(i.Unsolicited(last.ITT, 0, 4096, true), make([]byte, 64*512-4096))
		case k < 18 && last != nil:
			m := i.TMF(pdu.TMFAbortTask, 0)
			m.RefTaskTag, m.RefCmdSN = last.ITT, last.CmdSN
			ok = write(m, nil)
		case k < 19:
			ok = write(i.TMF(pdu.TMFLogicalUnitReset, 0), nil)
		default:
			ok = write(&pdu.NOPOut{Immediate: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, make([]byte, rand.IntN(5000)))
		}
		if !ok {
			return
		}
	}
	if rand.IntN(2) == 0 {
		write(&pdu.LogoutRequest{Immediate: true, ITT: i.NextITT(), CmdSN: i.CmdSN}, nil)
		time.Sleep(time.Millisecond)
	}
}
