package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"nas-target/internal/iscsi/pdu"
)

// digester stands between an initiator that knows no data digests and a target
// that requires them: it offers them in the initiator's place, adds them to
// what the initiator sends, checks and takes off those of the target. Header
// digests are the initiator's own and pass through it.
type digester struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	ended  bool
	open   map[net.Conn]struct{}
	faults []error // digests of the target that were wrong

	count *Digested
}

// Digested counts data digests.
type Digested struct {
	Sent, Checked atomic.Int64 // to the target, from the target
}

// newDigester stands before the target at addr.
func newDigester(addr string, count *Digested) (*digester, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	d := &digester{listener: l, target: addr, open: map[net.Conn]struct{}{}, count: count}
	d.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.wg.Go(func() { d.carry(c) })
		}
	})
	return d, nil
}

func (d *digester) addr() string { return d.listener.Addr().String() }

// stop ends all connections and returns what was wrong with the target's
// digests.
func (d *digester) stop() error {
	d.listener.Close()
	d.mu.Lock()
	d.ended = true
	for c := range d.open {
		c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
	return errors.Join(d.faults...)
}

func (d *digester) keep(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[c] = struct{}{}
	if d.ended {
		c.Close()
	}
}

func (d *digester) drop(c net.Conn) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	c.Close()
}

func (d *digester) carry(initiator net.Conn) {
	d.keep(initiator)
	defer d.drop(initiator)
	target, err := net.Dial("tcp", d.target)
	if err != nil {
		return
	}
	d.keep(target)
	defer d.drop(target)

	// What a login agrees on holds from the response that ends it, before which
	// no initiator sends anything else.
	var agreed atomic.Pointer[pdu.Digests]
	agreed.Store(&pdu.Digests{})
	back := make(chan struct{})
	go func() {
		defer close(back)
		defer initiator.Close()
		var final pdu.Digests
		for {
			p, err := readPDU(target, agreed.Load)
			if err != nil {
				return
			}
			if agreed.Load().Data && len(p.data) > 0 {
				if pdu.WireDigest([4]byte(p.digest)) != pdu.DataDigest(p.data) {
					d.mu.Lock()
					d.faults = append(d.faults, fmt.Errorf("wrong data digest: %s", pdu.Dump(&p.h)))
					d.mu.Unlock()
				}
				d.count.Checked.Add(1)
				p.digest = nil
			}
			if p.h.Opcode() == pdu.OpLoginResponse {
				var r pdu.LoginResponse
				r.Decode(&p.h)
				p.edit(func(key, value string) string {
					switch key {
					case "HeaderDigest":
						final.Header = value == "CRC32C"
					case "DataDigest":
						final.Data = value == "CRC32C"
						return "None"
					}
					return value
				})
				if r.Status == pdu.LoginSuccess && r.Transit && r.NSG == pdu.FullFeaturePhase {
					agreed.Store(&final)
				}
			}
			if p.write(initiator) != nil {
				return
			}
		}
	}()
	for {
		p, err := readPDU(initiator, func() *pdu.Digests { return &pdu.Digests{Header: agreed.Load().Header} })
		if err != nil {
			break
		}
		switch {
		case p.h.Opcode() == pdu.OpLoginRequest:
			p.edit(func(key, value string) string {
				if key == "DataDigest" {
					return "CRC32C"
				}
				return value
			})
		case agreed.Load().Data && len(p.data) > 0:
			sum := pdu.DataDigest(p.data).Wire()
			p.digest = sum[:]
			d.count.Sent.Add(1)
		}
		if p.write(target) != nil {
			break
		}
	}
	target.Close()
	<-back
}

// rawPDU is a PDU in the parts that a digester tells apart.
type rawPDU struct {
	h      pdu.BHS
	rest   []byte // additional headers, and the header digest
	data   []byte // with its padding
	digest []byte // of the data
}

// readPDU reads a PDU, with the digests that are there once its header is.
func readPDU(r io.Reader, digests func() *pdu.Digests) (*rawPDU, error) {
	p := &rawPDU{}
	if _, err := io.ReadFull(r, p.h[:]); err != nil {
		return nil, err
	}
	l := p.h.Layout(*digests())
	b := make([]byte, l.End-pdu.BHSLen)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	p.rest, b = b[:l.Data-pdu.BHSLen], b[l.Data-pdu.BHSLen:]
	n := pdu.Padded(p.h.DataSegmentLength())
	p.data, p.digest = b[:n], b[n:]
	return p, nil
}

// edit changes the values of the text that p carries.
func (p *rawPDU) edit(value func(key, value string) string) {
	text, err := pdu.ParseText(p.data[:p.h.DataSegmentLength()], pdu.TextLimits{ValueLen: 8192})
	if err != nil || len(text) == 0 {
		return // is for the other side to judge
	}
	for i := range text {
		text[i].Value = value(text[i].Key, text[i].Value)
	}
	b := text.Append(nil)
	p.h[5], p.h[6], p.h[7] = byte(len(b)>>16), byte(len(b)>>8), byte(len(b))
	p.data = append(b, make([]byte, pdu.Pad(len(b)))...)
}

func (p *rawPDU) write(w net.Conn) error {
	all := net.Buffers{p.h[:], p.rest, p.data, p.digest}
	_, err := all.WriteTo(w)
	return err
}
