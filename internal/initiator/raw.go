package initiator

import (
	"bufio"
	"context"
	"net"
	"time"
)

// Raw is one connection without a session around it: it sends and receives
// single PDUs, right or wrong, and keeps no promise by itself. Its methods are
// for one goroutine at a time; Close may be called from any.
type Raw struct {
	nc     *CutConn
	in     framer
	out    Encoding
	log    *violationLog
	cid    uint16
	window window // as of the end of login

	// CmdSN and ExpStatSN are what Send puts into a PDU. The caller advances
	// CmdSN; Recv follows StatSN.
	CmdSN, ExpStatSN uint32
	// Params are valid after Login.
	Params Params
}

// maxLoginData is the data segment limit of both sides until the end of login.
// RFC 7143 §13.12.
const maxLoginData = 8192

// NewRaw wraps a connection.
func NewRaw(nc net.Conn) *Raw {
	r := &Raw{nc: &CutConn{Conn: nc}, log: new(violationLog), CmdSN: 1}
	r.in = framer{
		r:       bufio.NewReaderSize(nc, 64<<10),
		maxData: maxLoginData,
		soft:    r.report,
	}
	return r
}

// DialRaw opens a TCP connection to a portal.
func DialRaw(ctx context.Context, addr string) (*Raw, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return NewRaw(nc), nil
}

// DialLogin opens a connection and logs in; the caller then speaks for itself.
func DialLogin(ctx context.Context, cfg Config) (*Raw, error) {
	cfg = cfg.withDefaults()
	nc, err := cfg.Dial(ctx, cfg.Addr)
	if err != nil {
		return nil, err
	}
	r := NewRaw(nc)
	r.log.notify = cfg.OnViolation
	if err := r.Login(ctx, cfg); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Raw) report(rule Rule, p *PDU, detail string) { r.log.add(r.cid, rule, p.BHS, detail) }

// Violations returns what the target did wrong so far.
func (r *Raw) Violations() []Violation { return r.log.snapshot() }

// NetConn returns the transport, e.g. to shrink its buffers or to cut it.
func (r *Raw) NetConn() *CutConn { return r.nc }

// SetDigests switches the digests of both directions.
func (r *Raw) SetDigests(header, data bool) {
	r.in.headerDigest, r.in.dataDigest = header, data
	r.out.HeaderDigest, r.out.DataDigest = header, data
}

// SetMaxRecv sets the largest data segment that Recv takes, in bytes.
func (r *Raw) SetMaxRecv(n int) { r.in.maxData = n }

// Write sends bytes as they are.
func (r *Raw) Write(b []byte) (int, error) { return r.nc.Write(b) }

// Send fills in the numbering, the lengths and the digests, and writes the PDU.
// SNACK and Data-Out carry no CmdSN.
func (r *Raw) Send(p *PDU) error { return r.SendFault(p, 0) }

// SendFault is Send with damage.
func (r *Raw) SendFault(p *PDU, f Fault) error {
	switch p.Opcode() {
	case OpDataOut, OpSNACK:
	default:
		p.SetUint32(offCmdSN, r.CmdSN)
	}
	if f&KeepExpStatSN == 0 {
		p.SetUint32(offExpStatSN, r.ExpStatSN)
	}
	return r.SendExact(p, f)
}

// SendExact writes the PDU without touching its numbering.
func (r *Raw) SendExact(p *PDU, f Fault) error {
	e := r.out
	e.Fault = f
	_, err := r.Write(e.Append(nil, p))
	return err
}

// Recv reads the next PDU. It checks layout and StatSN, no more: what belongs to
// which request is the caller's affair. When ctx ends before the first byte of a
// PDU the connection can still be read; inside a PDU it cannot.
func (r *Raw) Recv(ctx context.Context) (*PDU, error) {
	stop := r.watch(ctx)
	p := new(PDU)
	err := r.in.read(p, nil)
	stop()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if fe, ok := err.(*FrameError); ok {
			r.log.add(r.cid, fe.Rule, fe.Header, fe.Detail)
		}
		return nil, err
	}
	if checkLayout(p, r.report) {
		r.ExpStatSN = checkStatSN(p, r.ExpStatSN, r.report)
	}
	return p, nil
}

// watch turns the end of ctx into a read deadline.
func (r *Raw) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	cancelled := context.AfterFunc(ctx, func() { r.nc.SetReadDeadline(time.Unix(1, 0)) })
	return func() {
		if !cancelled() {
			r.nc.SetReadDeadline(time.Time{})
		}
	}
}

// Close closes the transport in an orderly way.
func (r *Raw) Close() error { return r.nc.Close() }

// Reset breaks the connection at once: the peer sees a TCP reset.
func (r *Raw) Reset() { r.nc.Reset() }

// Detach hands the transport over, with what had already been read from it. The
// Raw must not be used afterwards.
func (r *Raw) Detach() (nc net.Conn, early []byte) {
	early, _ = r.in.r.Peek(r.in.r.Buffered())
	return r.nc.Conn, early
}
