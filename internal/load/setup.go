package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"nas-target/internal/initiator"
	"nas-target/internal/socket"
)

// unitInfo is what a run must know of the logical unit.
type unitInfo struct {
	blocks    uint64
	blockSize int
}

// places is how many I/Os fit in the region.
func (u unitInfo) places(o *Options) uint64 {
	size := u.blocks * uint64(u.blockSize)
	if o.Region > 0 {
		size = min(size, o.Region)
	}
	return size / uint64(o.Block)
}

// offer is what this package asks for where the caller has no wish: the values of
// open-iscsi. RFC 7143 §13.
var offer = initiator.Keys{
	{Name: "MaxRecvDataSegmentLength", Value: "262144"},
	{Name: "MaxBurstLength", Value: "16776192"},
	{Name: "FirstBurstLength", Value: "262144"},
}

func (o *Options) config(session int) initiator.Config {
	c := o.Target
	keys := c.Keys
	for _, k := range offer {
		if _, set := keys.Get(k.Name); !set {
			keys = append(keys[:len(keys):len(keys)], k)
		}
	}
	c.Keys = keys
	if o.Sessions > 1 {
		c.ISID = initiator.RandomISID()
	}
	return c
}

// open logs one session in, clears its unit attentions and takes the socket.
func open(ctx context.Context, o *Options, index int, unit *unitInfo) (*session, error) {
	raw, err := initiator.DialLogin(ctx, o.config(index))
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, raw, o, unit); err != nil {
		raw.Close()
		return nil, err
	}
	nc, early := raw.Detach()
	fd, err := takeSocket(nc)
	if err != nil {
		return nil, err
	}
	s := newSession(o, raw, fd, index, *unit)
	if err := s.process(early, 0); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// prepare clears unit attentions and, for the first session, learns the unit.
func prepare(ctx context.Context, raw *initiator.Raw, o *Options, unit *unitInfo) error {
	for range 32 {
		r, err := roundTrip(ctx, raw, o.LUN, initiator.TestUnitReady())
		if err != nil {
			return err
		}
		if r.Status == initiator.CheckCondition && r.Sense.Key == initiator.UnitAttention {
			continue
		}
		if err := r.Err(); err != nil {
			return err
		}
		break
	}
	if unit.blockSize != 0 {
		return nil
	}
	r, err := roundTrip(ctx, raw, o.LUN, initiator.ReadCapacity10())
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return err
	}
	if len(r.Data) != 8 {
		return fmt.Errorf("load: READ CAPACITY (10) returned %d bytes", len(r.Data))
	}
	unit.blocks = uint64(binary.BigEndian.Uint32(r.Data)) + 1
	unit.blockSize = int(binary.BigEndian.Uint32(r.Data[4:]))
	if unit.blocks == 1<<32 {
		if r, err = roundTrip(ctx, raw, o.LUN, initiator.ReadCapacity16(32)); err == nil {
			err = r.Err()
		}
		if err != nil {
			return err
		}
		if len(r.Data) < 12 {
			return fmt.Errorf("load: READ CAPACITY (16) returned %d bytes", len(r.Data))
		}
		unit.blocks = binary.BigEndian.Uint64(r.Data) + 1
	}
	return unit.suits(o)
}

// suits checks the workload against the unit.
func (u unitInfo) suits(o *Options) error {
	if o.Kind == NoData {
		return nil
	}
	switch {
	case u.blockSize <= 0 || o.Block%u.blockSize != 0:
		return fmt.Errorf("%w: %d bytes are no whole blocks of %d", ErrWorkload, o.Block, u.blockSize)
	case u.places(o) == 0:
		return fmt.Errorf("%w: the unit has %d blocks", ErrWorkload, u.blocks)
	case o.Kind == Verify && u.blockSize < minStamp:
		return fmt.Errorf("%w: blocks of %d bytes hold no stamp", ErrWorkload, u.blockSize)
	case o.Kind == Verify && u.places(o) < uint64(o.Sessions):
		return fmt.Errorf("%w: %d sessions cannot share %d places", ErrWorkload, o.Sessions, u.places(o))
	}
	return nil
}

// roundTrip runs one command without data to send.
func roundTrip(ctx context.Context, r *initiator.Raw, lun uint16, c initiator.Cmd) (initiator.Response, error) {
	const itt = 0x10000 // outside the tags of the run
	p := initiator.SCSICommandPDU{
		Final: true, Read: c.In > 0, Attr: initiator.Simple, LUN: initiator.FlatLUN(lun),
		ITT: itt, EDTL: uint32(c.In), CDB: c.CDB,
	}.PDU()
	if err := r.Send(p); err != nil {
		return initiator.Response{}, err
	}
	r.CmdSN++
	var resp initiator.Response
	for {
		a, err := r.Recv(ctx)
		if err != nil {
			return resp, err
		}
		switch {
		case a.Opcode() == initiator.OpDataIn && a.ITT() == itt:
			resp.Data = append(resp.Data, a.Data...)
			if a.BHS[1]&0x01 != 0 {
				resp.Status = initiator.Status(a.BHS[3])
				return resp, nil
			}
		case a.Opcode() == initiator.OpSCSIResponse && a.ITT() == itt:
			resp.Code, resp.Status = a.BHS[2], initiator.Status(a.BHS[3])
			if len(a.Data) > 2 {
				resp.Sense, _ = initiator.ParseSense(a.Data[2:])
			}
			return resp, nil
		case a.Opcode() == initiator.OpNOPIn && a.ITT() == initiator.NoTag:
			if a.TTT() == initiator.NoTag {
				continue
			}
			answer := initiator.NOPOutPDU{Immediate: true, LUN: a.LUN(), ITT: initiator.NoTag, TTT: a.TTT()}
			if err := r.Send(answer.PDU()); err != nil {
				return resp, err
			}
		default:
			return resp, fmt.Errorf("load: unexpected %v", a)
		}
	}
}

// takeSocket takes the file descriptor away from the Go network poller: a second
// descriptor of the same socket stays when the connection is closed.
func takeSocket(nc net.Conn) (int, error) {
	defer nc.Close()
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return 0, fmt.Errorf("load: %T is no TCP connection", nc)
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd, dup := 0, error(nil)
	err = rc.Control(func(old uintptr) {
		socket.Unpace(int(old))
		fd, dup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = dup
	}
	return fd, err
}
