package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"nas-target/internal/initiator"
	"nas-target/internal/socket"
)

const bhsLen = 48

// incoming takes the stream from a target apart. PDUs may be split anywhere.
type incoming struct {
	header, data bool // digests in force
	check        bool // compute data digests

	head [bhsLen + 4]byte
	have int    // bytes of head
	left int    // bytes of data segment still to come
	tail int    // bytes of padding and data digest still to come
	sink []byte // where data goes; nil: nowhere
	crc  uint32
	sum  [4]byte // data digest as received

	small [256]byte // sense data
}

func (in *incoming) headLen() int {
	if in.header {
		return bhsLen + 4
	}
	return bhsLen
}

func (in *incoming) opcode() initiator.Opcode { return initiator.Opcode(in.head[0] & 0x3f) }
func (in *incoming) word(off int) uint32      { return binary.BigEndian.Uint32(in.head[off:]) }
func (in *incoming) dataLen() int {
	return int(in.head[5])<<16 | int(in.head[6])<<8 | int(in.head[7])
}

// What was damaged.
var (
	errHeaderDigest = errors.New("load: header digest wrong")
	errDataDigest   = errors.New("load: data digest wrong")
)

// skimSize is the smallest I/O whose payload is not copied out of the socket
// when nobody looks at it. Below it the calls cost more than the copy.
const skimSize = 64 << 10

// skimReads bounds one turn of a session that skims.
const skimReads = 64

// receive reads once and handles what came. A session that skims goes from
// header to header and has the kernel throw away what lies between.
func (s *session) receive(buf []byte, now time.Duration) error {
	if !s.skims {
		n, err := socket.Recv(s.fd, buf, 0)
		if n == 0 || err != nil {
			return readError(err)
		}
		return s.process(buf[:n], now)
	}
	for n := 0; n < skimReads && !s.left; n++ {
		b, flags := s.in.expected(buf)
		n, err := socket.Recv(s.fd, b, flags)
		if n == 0 || err != nil {
			return readError(err)
		}
		if err := s.process(b[:n], now); err != nil {
			return err
		}
	}
	return nil
}

// expected returns where the next piece of the stream goes, and the flag that
// has it thrown away if that is nowhere.
func (in *incoming) expected(buf []byte) ([]byte, int) {
	switch {
	case in.left > 0 && in.sink == nil && !in.check:
		return buf[:min(in.left, len(buf))], unix.MSG_TRUNC
	case in.left > 0:
		return buf[:min(in.left, len(buf))], 0
	case in.tail > 0:
		return buf[:in.tail], 0
	}
	return buf[:in.headLen()-in.have], 0
}

// readError says what the end of a read means; nil for nothing to read now.
func readError(err error) error {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return err
	}
	return io.ErrUnexpectedEOF
}

// process takes bytes of the stream.
func (s *session) process(b []byte, now time.Duration) error {
	in := &s.in
	for len(b) > 0 {
		switch {
		case in.left > 0:
			n := min(in.left, len(b))
			in.take(b[:n])
			in.left -= n
			b = b[n:]
		case in.tail > 0:
			n := min(in.tail, len(b))
			in.takeTail(b[:n])
			b = b[n:]
		default:
			n := copy(in.head[in.have:in.headLen()], b)
			in.have += n
			b = b[n:]
			if in.have < in.headLen() {
				return nil
			}
			if err := s.begin(); err != nil {
				return err
			}
		}
		if in.left == 0 && in.tail == 0 && in.have == in.headLen() {
			in.have = 0
			if err := s.end(now); err != nil {
				return err
			}
		}
	}
	return nil
}

// take uses bytes of a data segment.
func (in *incoming) take(b []byte) {
	if in.check {
		in.crc = crc32.Update(in.crc, castagnoli, b)
	}
	if in.sink != nil {
		in.sink = in.sink[copy(in.sink, b):]
	}
}

// takeTail uses bytes of padding and data digest; the last four are the digest.
func (in *incoming) takeTail(b []byte) {
	for _, c := range b {
		switch {
		case !in.data:
		case in.tail > 4:
			in.crc = crc32.Update(in.crc, castagnoli, []byte{c})
		default:
			in.sum[4-in.tail] = c
		}
		in.tail--
	}
}

// begin handles a header whose data is still to come.
func (s *session) begin() error {
	in := &s.in
	if in.header && binary.LittleEndian.Uint32(in.head[bhsLen:]) != crc32.Checksum(in.head[:bhsLen], castagnoli) {
		return errHeaderDigest
	}
	if in.head[4] != 0 {
		return fmt.Errorf("load: %v with additional headers", in.opcode())
	}
	in.left = in.dataLen()
	if in.left > s.params.MaxRecvDataSegmentLength {
		return fmt.Errorf("load: %v with %d bytes of data, we declared %d", in.opcode(), in.left, s.params.MaxRecvDataSegmentLength)
	}
	in.tail, in.sink, in.crc = -in.left&3, nil, 0
	if in.data && in.left > 0 {
		in.tail += 4
	}
	switch in.opcode() {
	case initiator.OpDataIn:
		k, err := s.slot(in.word(16))
		if err != nil {
			return err
		}
		if off := int(in.word(40)); off != k.got || off+in.left > s.block || !k.read {
			return fmt.Errorf("load: Data-In at %d with %d bytes, %d of %d are there", off, in.left, k.got, s.block)
		}
		if s.verify != nil {
			in.sink = k.data[k.got:]
		}
	case initiator.OpSCSIResponse:
		in.sink = in.small[:]
	}
	return nil
}

// end handles a whole PDU.
func (s *session) end(now time.Duration) error {
	in := &s.in
	if in.check && in.dataLen() > 0 && binary.LittleEndian.Uint32(in.sum[:]) != in.crc {
		return errDataDigest
	}
	s.window(in.word(28), in.word(32))
	switch op := in.opcode(); op {
	case initiator.OpDataIn:
		k, err := s.slot(in.word(16))
		if err != nil {
			return err
		}
		k.got += in.dataLen()
		if in.head[1]&0x01 == 0 {
			return nil
		}
		s.expStatSN = in.word(24) + 1
		return s.ended(in.word(16), k, initiator.Status(in.head[3]), now)
	case initiator.OpSCSIResponse:
		s.expStatSN = in.word(24) + 1
		k, err := s.slot(in.word(16))
		if err != nil {
			return err
		}
		if in.head[2] != 0 {
			return fmt.Errorf("load: iSCSI response %#02x", in.head[2])
		}
		return s.ended(in.word(16), k, initiator.Status(in.head[3]), now)
	case initiator.OpR2T:
		return s.answerR2T()
	case initiator.OpNOPIn:
		if in.word(16) != initiator.NoTag {
			s.expStatSN = in.word(24) + 1
		} else if ttt := in.word(20); ttt != initiator.NoTag {
			s.answerPing(ttt)
		}
		return nil
	case initiator.OpAsync:
		s.expStatSN = in.word(24) + 1
		if in.head[36] == byte(initiator.AsyncSCSI) {
			return nil
		}
		return fmt.Errorf("load: the target sent async event %d", in.head[36])
	case initiator.OpLogoutResp:
		s.left = true
		return nil
	case initiator.OpReject:
		return fmt.Errorf("load: the target rejected a PDU: %v", initiator.RejectReason(in.head[2]))
	default:
		return fmt.Errorf("load: unexpected %v", op)
	}
}

// window follows the command window; values never go back.
func (s *session) window(exp, maxSN uint32) {
	if int32(maxSN-exp+1) >= 0 && int32(maxSN-s.maxCmdSN) > 0 {
		s.maxCmdSN = maxSN
	}
}

// sense is the decoded sense data of the response just received.
func (s *session) sense() initiator.Sense {
	n := min(s.in.dataLen(), len(s.in.small))
	if n < 2 {
		return initiator.Sense{}
	}
	sense, _ := initiator.ParseSense(s.in.small[2:n])
	return sense
}
