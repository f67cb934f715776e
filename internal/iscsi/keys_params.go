package iscsi

import "fmt"

// SessionType says what a session is for, RFC 7143 §13.21.
type SessionType uint8

// Session types.
const (
	SessionNormal SessionType = iota
	SessionDiscovery
)

func (t SessionType) String() string {
	if t == SessionDiscovery {
		return "Discovery"
	}
	return "Normal"
}

// TaskReporting says how task management and its responses are ordered,
// RFC 7143 §13.23.
type TaskReporting string

// Values of TaskReporting.
const (
	TaskReportingRFC3720       TaskReporting = "RFC3720"
	TaskReportingResponseFence TaskReporting = "ResponseFence"
	TaskReportingFastAbort     TaskReporting = "FastAbort"
)

// Params is what a login agreed on. Lengths are bytes, times are seconds, and
// names are in the form in which they compare byte by byte.
type Params struct {
	InitiatorName  string
	InitiatorAlias string // for people; not trustworthy
	TargetName     string // empty on a discovery session that named none
	SessionType    SessionType

	HeaderDigest bool   // CRC32C
	DataDigest   bool   // CRC32C
	MaxSend      uint32 // the initiator's MaxRecvDataSegmentLength
	MaxRecv      uint32 // our MaxRecvDataSegmentLength, as far as it was declared

	MaxConnections      uint32
	InitialR2T          bool
	ImmediateData       bool
	MaxBurstLength      uint32
	FirstBurstLength    uint32
	MaxOutstandingR2T   uint32
	DataPDUInOrder      bool
	DataSequenceInOrder bool
	DefaultTime2Wait    uint32
	DefaultTime2Retain  uint32
	ErrorRecoveryLevel  uint32
	TaskReporting       TaskReporting
	ProtocolLevel       uint32 // iSCSIProtocolLevel, RFC 7144 §7.1.1
}

// Limits is what this target offers. What has no field here is fixed: error
// recovery level 0, data always in order. A key that the initiator does not
// negotiate keeps the default of the RFC, which may go beyond these limits.
type Limits struct {
	MaxRecvDataSegmentLength uint32 // declared to the initiator
	MaxConnections           uint32 // per session
	MaxBurstLength           uint32
	FirstBurstLength         uint32
	MaxOutstandingR2T        uint32
	DefaultTime2Wait         uint32 // at least
	DefaultTime2Retain       uint32 // at most
	ProtocolLevel            uint32
	InitialR2T               bool // insist on R2T for every byte beyond immediate data
	ImmediateData            bool
	FastAbort                bool    // accept TaskReporting=FastAbort
	Digests                  Digests // of normal sessions; a Node says it for its own
}

// Digests says which digests sessions have.
type Digests struct{ Header, Data DigestPolicy }

// DigestPolicy says whether a digest protects a session.
type DigestPolicy uint8

// Policies. A digest that is required ends the login of an initiator that does
// not offer it; one that is refused ends nothing: the session goes without.
const (
	DigestOffered DigestPolicy = iota // the initiator decides
	DigestRequired
	DigestRefused
)

// DefaultLimits suits initiators as they come out of the box.
func DefaultLimits() Limits {
	return Limits{
		MaxRecvDataSegmentLength: 262144,
		MaxConnections:           1,
		MaxBurstLength:           16776192,
		FirstBurstLength:         262144,
		MaxOutstandingR2T:        16,
		DefaultTime2Wait:         2,
		DefaultTime2Retain:       20,
		ProtocolLevel:            1,
		ImmediateData:            true,
	}
}

// Validate checks what a configuration may ask for. The upper bounds are ours
// where the RFC would allow more memory to be promised than is wise.
func (l Limits) Validate() error {
	for _, c := range []struct {
		name            string
		value           uint32
		lowest, highest uint32
	}{
		{"MaxRecvDataSegmentLength", l.MaxRecvDataSegmentLength, 512, 1 << 20},
		{"MaxConnections", l.MaxConnections, 1, 32},
		{"MaxBurstLength", l.MaxBurstLength, 512, 16776192},
		{"FirstBurstLength", l.FirstBurstLength, 512, 262144},
		{"MaxOutstandingR2T", l.MaxOutstandingR2T, 1, 16},
		{"DefaultTime2Wait", l.DefaultTime2Wait, 0, 3600},
		{"DefaultTime2Retain", l.DefaultTime2Retain, 0, 3600},
		{"ProtocolLevel", l.ProtocolLevel, 0, 2},
	} {
		if c.value < c.lowest || c.value > c.highest {
			return fmt.Errorf("iscsi: %s %d is not in %d..%d", c.name, c.value, c.lowest, c.highest)
		}
	}
	if l.FirstBurstLength > l.MaxBurstLength {
		return fmt.Errorf("iscsi: FirstBurstLength %d exceeds MaxBurstLength %d", l.FirstBurstLength, l.MaxBurstLength)
	}
	return nil
}
