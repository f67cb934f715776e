package decode_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/decode"
	"nas-target/internal/initiator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is what went over a connection, in order.
type wire struct {
	mu     sync.Mutex
	pieces []piece
}

type piece struct {
	fromTarget bool
	data       []byte
}

func (w *wire) note(fromTarget bool, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pieces = append(w.pieces, piece{fromTarget, bytes.Clone(b)})
}

// tapped is a connection that notes what goes over it.
type tapped struct {
	net.Conn
	to *wire
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.to.note(true, b[:n])
	}
	return n, err
}

func (c tapped) Write(b []byte) (int, error) {
	c.to.note(false, b)
	return c.Conn.Write(b)
}

const (
	testTarget = "iqn.2026-11.test.decode:disks"
	testNode   = "iqn.2026-11.test.decode:node1"
	canary     = "canary-secret-of-node1"
	canary2    = "canary-secret-of-target"
)

// startDaemon serves two disks, for whom CHAP proves to be node1.
func startDaemon(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "chap-secrets"), []byte("node1 "+canary+"\nstorage "+canary2+"\n"), 0o600))
	c, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
page: {listen: ""}
portals: [{group: 1, listen: ["127.0.0.1:1"]}]
targets:
  - name: %s
    initiators: [{name: %s, chap: {user: node1, mutual_user: storage}}]
    luns: [{lun: 0, name: shared, size: 8MiB}]
`, dir, testTarget, testNode))
	require.NoError(t, err)
	c.Portals[0].Listen[0] = netip.MustParseAddrPort("127.0.0.1:0")
	d, err := daemon.Start(t.Context(), c, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, d.Stop(ctx))
	})
	return d.Portals()[0].String()
}

// scene is a session that does a bit of everything, one command at a time.
func scene(t testing.TB, addr, digests string) *wire {
	t.Helper()
	w := &wire{}
	ctx := t.Context()
	s, err := initiator.Dial(ctx, initiator.Config{
		Addr: addr, Target: testTarget, InitiatorName: testNode, ISID: [6]byte{0x80, 1, 2, 3, 4, 5},
		HeaderDigest: digests, DataDigest: digests,
		Keys: initiator.Keys{{Name: "FirstBurstLength", Value: "4096"}, {Name: "MaxBurstLength", Value: "8192"}},
		CHAP: &initiator.CHAP{User: "node1", Secret: canary, MutualUser: "storage", MutualSecret: canary2},
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			return tapped{nc, w}, err
		},
	})
	require.NoError(t, err)
	u := s.Unit(0)
	_, err = u.DrainUA(ctx)
	require.NoError(t, err)
	_, err = u.Inquiry(ctx)
	require.NoError(t, err)
	_, err = u.LoadCapacity(ctx)
	require.NoError(t, err)
	require.NoError(t, u.RegisterAndIgnore(ctx, 0xa1, true))
	require.NoError(t, u.Reserve(ctx, 0xa1, initiator.WriteExclusiveRegistrantsOnly))
	_, err = u.ReadKeys(ctx)
	require.NoError(t, err)
	_, err = u.ReadReservation(ctx)
	require.NoError(t, err)
	_, err = u.ReadFullStatus(ctx)
	require.NoError(t, err)
	require.NoError(t, u.Write(ctx, 16, bytes.Repeat([]byte("payload."), 24<<10/8)))
	_, err = u.Read(ctx, 16, 16)
	require.NoError(t, err)
	require.Error(t, u.Write(ctx, 1<<30, make([]byte, 512)), "beyond the end")
	require.NoError(t, s.Logout(ctx))
	return w
}

// packet is a frame and the millisecond in which it went.
type packet struct {
	ms    uint32
	frame []byte
}

// packets makes frames of what went over a connection: Ethernet, IPv4, TCP with
// segments of at most mss bytes, a millisecond whenever the other side begins to
// speak.
func packets(w *wire, mss int) []packet {
	var all []packet
	ms := uint32(0)
	add := func(fromTarget bool, seq, ack uint32, flags byte, data []byte) {
		src, dst, sport, dport := []byte{192, 0, 2, 11}, []byte{192, 0, 2, 5}, uint16(40000), uint16(3260)
		if fromTarget {
			src, dst, sport, dport = dst, src, dport, sport
		}
		be := binary.BigEndian
		b := append(bytes.Repeat([]byte{2}, 12), 8, 0)
		b = append(b, 0x45, 0)
		b = be.AppendUint16(b, uint16(40+len(data)))
		b = append(b, 0, 0, 0x40, 0, 64, 6, 0, 0)
		b = append(append(b, src...), dst...)
		b = be.AppendUint16(be.AppendUint16(b, sport), dport)
		b = be.AppendUint32(be.AppendUint32(b, seq), ack)
		b = append(b, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
		all = append(all, packet{ms, append(b, data...)})
	}
	const syn, ackFlag, psh, fin = 2, 16, 8, 1
	seq := [2]uint32{1000, 0xffffff00} // the second one wraps
	add(false, seq[0], 0, syn, nil)
	add(true, seq[1], seq[0]+1, syn|ackFlag, nil)
	seq[0]++
	seq[1]++
	last := true
	for _, p := range w.pieces {
		if p.fromTarget != last {
			ms, last = ms+1, p.fromTarget
		}
		side := 0
		if p.fromTarget {
			side = 1
		}
		for b := p.data; len(b) > 0; {
			n := min(len(b), mss)
			add(p.fromTarget, seq[side], seq[1-side], ackFlag|psh, b[:n])
			seq[side] += uint32(n)
			b = b[n:]
		}
	}
	add(false, seq[0], seq[1], fin|ackFlag, nil)
	add(true, seq[1], seq[0]+1, fin|ackFlag, nil)
	return all
}

const began = 1_795_000_000 // of every capture, in seconds

func pcap(all []packet) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(nil, 0xa1b2c3d4)
	out = le.AppendUint16(le.AppendUint16(out, 2), 4)
	out = le.AppendUint32(le.AppendUint32(le.AppendUint32(le.AppendUint32(out, 0), 0), 262144), 1)
	for _, p := range all {
		out = le.AppendUint32(le.AppendUint32(out, began+p.ms/1000), p.ms%1000*1000)
		out = le.AppendUint32(le.AppendUint32(out, uint32(len(p.frame))), uint32(len(p.frame)))
		out = append(out, p.frame...)
	}
	return out
}

// pcapng writes section header, interface and enhanced packet blocks.
func pcapng(all []packet) []byte {
	le := binary.LittleEndian
	var out []byte
	block := func(kind uint32, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		n := uint32(len(body) + 12)
		out = le.AppendUint32(append(le.AppendUint32(le.AppendUint32(out, kind), n), body...), n)
	}
	block(0x0a0d0d0a, append(le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, 0x1a2b3c4d), 1), 0), bytes.Repeat([]byte{0xff}, 8)...))
	block(1, le.AppendUint32(le.AppendUint16(le.AppendUint16(nil, 1), 0), 262144))
	for _, p := range all {
		at := uint64(began)*1e6 + uint64(p.ms)*1000
		b := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, 0), uint32(at>>32)), uint32(at))
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(p.frame))), uint32(len(p.frame)))
		block(6, append(b, p.frame...))
	}
	return out
}

// read decodes everything.
func read(t testing.TB, data []byte, o decode.Options) []*decode.Record {
	t.Helper()
	var all []*decode.Record
	o.Emit = func(r *decode.Record) { all = append(all, r) }
	require.NoError(t, decode.Read(bytes.NewReader(data), o))
	return all
}
