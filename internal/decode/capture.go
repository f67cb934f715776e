package decode

import (
	"bytes"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gopacket/gopacket/reassembly"
)

const (
	// maxConns are followed at a time: beyond it all that are open are ended,
	// and go on as others of which the beginning is not known.
	maxConns = 1024
	// Packets that wait for one that is missing, of 1900 bytes each.
	maxPages, maxPagesPerConn = 8192, 2048
	// maxPacket is more than any network has.
	maxPacket = 1 << 20
)

// isPCAP knows the files of tcpdump, in both byte orders, with microseconds or
// nanoseconds.
func isPCAP(magic []byte) bool {
	for _, m := range [][]byte{{0xa1, 0xb2, 0xc3, 0xd4}, {0xd4, 0xc3, 0xb2, 0xa1}, {0xa1, 0xb2, 0x3c, 0x4d}, {0x4d, 0x3c, 0xb2, 0xa1}} {
		if bytes.Equal(magic, m) {
			return true
		}
	}
	return false
}

// source is what both kinds of files are.
type source interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

func readPCAP(r io.Reader, o Options) error {
	s, err := pcapgo.NewReader(r)
	if err != nil {
		return fmt.Errorf("pcap: %w", err)
	}
	return readPackets(s, o)
}

func readPCAPNG(r io.Reader, o Options) error {
	s, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{SkipUnknownVersion: true})
	if err != nil {
		return fmt.Errorf("pcapng: %w", err)
	}
	return readPackets(s, o)
}

// readPackets finds the segments of the port, and has them put in order.
func readPackets(s source, o Options) error {
	a := assembly{options: o}
	a.new()
	defer a.flush()
	var cut int
	for n := 1; ; n++ {
		data, ci, err := s.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			a.flush()
			return fmt.Errorf("packet %d: %w", n, err)
		}
		if len(data) > maxPacket {
			return fmt.Errorf("packet %d has %d bytes", n, len(data))
		}
		if ci.CaptureLength < ci.Length {
			cut++
		}
		a.packet(gopacket.NewPacket(data, s.LinkType(), gopacket.DecodeOptions{Lazy: true, NoCopy: true}), ci)
	}
	a.flush()
	switch {
	case a.conns == 0:
		return ErrNothing
	case cut > 0:
		return fmt.Errorf("%d packets are cut short in the capture: take it with whole packets (tcpdump -s 0)", cut)
	}
	return nil
}

// assembly puts segments in order. It implements reassembly.StreamFactory.
type assembly struct {
	options Options
	streams *reassembly.Assembler
	conns   int // that there were
	open    map[connKey]*stream
}

// connKey is a connection as its first packet names it.
type connKey struct{ network, ports gopacket.Flow }

func (a *assembly) new() {
	a.streams = reassembly.NewAssembler(reassembly.NewStreamPool(a))
	a.open = map[connKey]*stream{}
	a.streams.MaxBufferedPagesTotal, a.streams.MaxBufferedPagesPerConnection = maxPages, maxPagesPerConn
}

// flush ends all connections.
func (a *assembly) flush() { a.streams.FlushAll() }

func (a *assembly) packet(p gopacket.Packet, ci gopacket.CaptureInfo) {
	network := p.NetworkLayer()
	tcp, ok := p.TransportLayer().(*layers.TCP)
	port := layers.TCPPort(a.options.Port)
	if !ok || network == nil || tcp.SrcPort != port && tcp.DstPort != port {
		return
	}
	if len(a.open) >= maxConns {
		a.flush()
		a.new()
	}
	key := connKey{network.NetworkFlow(), tcp.TransportFlow()}
	if s, client := a.find(key); s != nil && s.acknowledges(client, tcp) {
		// The other side has what is missing here, so it will not come: what
		// waits for it is read before what answers it.
		a.streams.FlushWithOptions(reassembly.FlushOptions{T: ci.Timestamp.Add(1)})
		s.missed(client, tcp)
	}
	a.streams.AssembleWithContext(key.network, tcp, seen(ci))
}

// find returns the connection of a packet, and whether the packet goes the way
// that the first one went.
func (a *assembly) find(k connKey) (s *stream, client bool) {
	if s = a.open[k]; s != nil {
		return s, true
	}
	return a.open[connKey{k.network.Reverse(), k.ports.Reverse()}], false
}

// seen carries the time of a packet.
type seen gopacket.CaptureInfo

func (s seen) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(s) }

// New begins a connection with its first packet.
func (a *assembly) New(network, ports gopacket.Flow, tcp *layers.TCP, _ reassembly.AssemblerContext) reassembly.Stream {
	a.conns++
	from := network.Src().String() + ":" + ports.Src().String()
	to := network.Dst().String() + ":" + ports.Dst().String()
	s := &stream{a: a, key: connKey{network, ports}, toTarget: tcp.DstPort == layers.TCPPort(a.options.Port)}
	if !s.toTarget {
		from, to = to, from
	}
	c := newConn(a.conns, from, to, a.options.Digests, a.options.Emit)
	s.sides = [2]*half{{conn: c, lost: !tcp.SYN}, {conn: c, fromTarget: true, lost: !tcp.SYN}}
	a.open[s.key] = s
	return s
}

// stream is a connection as the library hands it over. It implements
// reassembly.Stream.
type stream struct {
	a        *assembly
	key      connKey
	toTarget bool // the packets that the library takes for the client's
	sides    [2]*half

	next [2]reassembly.Sequence // behind what has come without a hole, of client and server
	know [2]bool
}

// acknowledges reports whether a packet confirms bytes of the other side that
// are not there.
func (s *stream) acknowledges(client bool, tcp *layers.TCP) bool {
	other := 0
	if client {
		other = 1
	}
	// One more than there is may be a FIN.
	return tcp.ACK && s.know[other] && s.next[other].Difference(reassembly.Sequence(tcp.Ack)) > 1
}

// missed gives up what is missing at the end of what has come.
func (s *stream) missed(client bool, tcp *layers.TCP) {
	if !s.acknowledges(client, tcp) {
		return
	}
	other := 0
	if client {
		other = 1
	}
	s.next[other] = reassembly.Sequence(tcp.Ack)
	s.side(other == 0).gap(0, "what comes behind it is not in the capture")
}

// side is the half that the client, or the server, sends.
func (s *stream) side(client bool) *half {
	if client == s.toTarget {
		return s.sides[0]
	}
	return s.sides[1]
}

// Accept takes every segment, also where the beginning was missed.
func (s *stream) Accept(tcp *layers.TCP, _ gopacket.CaptureInfo, dir reassembly.TCPFlowDirection, _ reassembly.Sequence, start *bool, _ reassembly.AssemblerContext) bool {
	*start = true
	side := 0
	if dir != reassembly.TCPDirClientToServer {
		side = 1
	}
	if !s.know[side] {
		s.next[side], s.know[side] = reassembly.Sequence(tcp.Seq), true
		if tcp.SYN {
			s.next[side] = s.next[side].Add(1)
		}
	}
	return true
}

// ReassembledSG takes the next bytes of one side.
func (s *stream) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	direction, _, _, skip := sg.Info()
	h := s.side(direction == reassembly.TCPDirClientToServer)
	n, _ := sg.Lengths()
	side := 0
	if direction != reassembly.TCPDirClientToServer {
		side = 1
	}
	if s.next[side] = s.next[side].Add(n); skip > 0 {
		s.next[side] = s.next[side].Add(skip)
		h.gap(skip, fmt.Sprintf("%d bytes behind it are not in the capture", skip))
	}
	if n == 0 {
		return
	}
	h.feed(sg.Fetch(n), sg.CaptureInfo(0).Timestamp)
}

// ReassemblyComplete is the end of a connection.
func (s *stream) ReassemblyComplete(reassembly.AssemblerContext) bool {
	for _, h := range s.sides {
		h.end("the connection, or the capture, ends")
	}
	delete(s.a.open, s.key)
	return true
}
