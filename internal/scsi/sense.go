package scsi

import (
	"encoding/binary"
	"fmt"

	"nas-target/internal/pr"
)

// Sense keys. SPC-4 r37 table 43.
const (
	KeyNoSense        = 0x0
	KeyNotReady       = 0x2
	KeyMediumError    = 0x3
	KeyHardwareError  = 0x4
	KeyIllegalRequest = 0x5
	KeyUnitAttention  = 0x6
	KeyDataProtect    = 0x7
	KeyCopyAborted    = 0xa
	KeyAbortedCommand = 0xb
	KeyMiscompare     = 0xe
)

// MaxSense is the longest sense data built here, in bytes.
const MaxSense = 64

// Check ends a command with CHECK CONDITION. Handlers return it as an error;
// it becomes bytes in one place, in the format the initiator asked for.
// The package's values are shared: derive from them, never write to them.
type Check struct {
	Key, ASC, ASCQ uint8
	Reason         Reason // stable name, for logs, metrics and tests

	hasInfo  bool
	info     uint64 // INFORMATION: an LBA or a byte offset
	hasSpec  bool
	spec     uint64 // COMMAND-SPECIFIC INFORMATION
	sks      [3]byte
	hasSKS   bool
	detail   Reason // a finer reason, where a rule below gave one
	internal error  // what went wrong inside, for the log only
}

// Reason names a refusing branch.
type Reason string

func (c *Check) Error() string {
	s := fmt.Sprintf("%s (%x %02x/%02x)", c.Reason, c.Key, c.ASC, c.ASCQ)
	if c.detail != "" {
		s += ", " + string(c.detail)
	}
	if c.internal != nil {
		s += ": " + c.internal.Error()
	}
	return s
}

func (c *Check) Unwrap() error { return c.internal }

// Is makes errors.Is(err, ErrLBAOutOfRange) hold for derived values.
func (c *Check) Is(target error) bool {
	t, ok := target.(*Check)
	return ok && t.Reason == c.Reason
}

// AtCDB points at the CDB field in error: byte and, when 0..7, its highest bit.
// SPC-4 r37 4.5.2.4.2.
func (c *Check) AtCDB(byteNo, bit int) *Check { return c.pointer(0xc0, byteNo, bit) }

// AtData points at a field of the parameter list.
func (c *Check) AtData(byteNo, bit int) *Check { return c.pointer(0x80, byteNo, bit) }

func (c *Check) pointer(flags byte, byteNo, bit int) *Check {
	d := *c
	if bit >= 0 && bit <= 7 {
		flags |= 0x08 | byte(bit)
	}
	d.sks = [3]byte{flags, byte(byteNo >> 8), byte(byteNo)}
	d.hasSKS = true
	return &d
}

// WithProgress fills the progress indication, 0..65535. SPC-4 r37 4.5.2.4.4.
func (c *Check) WithProgress(p uint16) *Check {
	d := *c
	d.sks = [3]byte{0x80, byte(p >> 8), byte(p)}
	d.hasSKS = true
	return &d
}

// WithSegment points at a copy descriptor. SPC-4 r37 4.5.2.4.5.
func (c *Check) WithSegment(segment uint16) *Check {
	d := *c
	d.sks = [3]byte{0x80, byte(segment >> 8), byte(segment)}
	d.hasSKS = true
	return &d
}

// WithInfo fills INFORMATION.
func (c *Check) WithInfo(v uint64) *Check {
	d := *c
	d.hasInfo, d.info = true, v
	return &d
}

// WithSpecific fills COMMAND-SPECIFIC INFORMATION.
func (c *Check) WithSpecific(v uint64) *Check {
	d := *c
	d.hasSpec, d.spec = true, v
	return &d
}

// named keeps the bytes and tells the finer reason to logs and metrics.
func (c *Check) named(r pr.Reason) *Check {
	d := *c
	d.detail = Reason(r)
	return &d
}

// Because keeps the inner cause for the log; the initiator does not see it.
func (c *Check) Because(err error) *Check {
	d := *c
	d.internal = err
	return &d
}

// AppendSense appends c as sense data, descriptor format if desc.
// SPC-4 r37 4.5.2, 4.5.3. An INFORMATION value that does not fit the fixed
// format leaves VALID at 0 there.
func (c *Check) AppendSense(b []byte, desc bool) []byte {
	if !desc {
		var s [18]byte
		s[0], s[2], s[7], s[12], s[13] = 0x70, c.Key, 10, c.ASC, c.ASCQ
		if c.hasInfo && c.info <= 0xffffffff {
			s[0] |= 0x80
			binary.BigEndian.PutUint32(s[3:], uint32(c.info))
		}
		if c.hasSpec && c.spec <= 0xffffffff {
			binary.BigEndian.PutUint32(s[8:], uint32(c.spec))
		}
		copy(s[15:], c.sks[:])
		return append(b, s[:]...)
	}
	start := len(b)
	b = append(b, 0x72, c.Key, c.ASC, c.ASCQ, 0, 0, 0, 0)
	if c.hasInfo {
		b = append(b, 0x00, 0x0a, 0x80, 0)
		b = binary.BigEndian.AppendUint64(b, c.info)
	}
	if c.hasSpec {
		b = append(b, 0x01, 0x0a, 0, 0)
		b = binary.BigEndian.AppendUint64(b, c.spec)
	}
	if c.hasSKS {
		b = append(b, 0x02, 0x06, 0, 0, c.sks[0], c.sks[1], c.sks[2], 0)
	}
	b[start+7] = byte(len(b) - start - 8)
	return b
}
