package initiator

import (
	"context"
	"crypto/rand"
	"net"
	"time"
)

// DefaultInitiatorName is used when Config.InitiatorName is empty.
const DefaultInitiatorName = "iqn.2026-11.local.nas-target:initiator"

// Config says where and how to log in. The zero value of every field is a
// sensible initiator; the others make it an odd one.
type Config struct {
	Addr          string  // host:port of the portal
	Target        string  // TargetName; empty only for a discovery session
	InitiatorName string  // default DefaultInitiatorName
	ISID          [6]byte // zero: a random one, see RandomISID
	TSIH          uint16  // non-zero only to add a connection or to provoke
	CID           uint16
	Discovery     bool // SessionType=Discovery

	// Keys override the offered keys of the same name, in place; Omit removes
	// one; a name not offered is added at the end of its stage.
	Keys Keys
	CHAP *CHAP
	// HeaderDigest and DataDigest are the lists offered; empty is "None".
	HeaderDigest, DataDigest string
	// OperationalFirst starts in the operational stage, without the security stage.
	OperationalFirst bool

	InitialCmdSN uint32        // CmdSN of the leading login, default 1
	LoginTimeout time.Duration // default 15 s
	// Dial replaces net.Dialer, e.g. by a pipe or a connection that breaks.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// IgnoreNOPIn leaves the target's pings unanswered.
	IgnoreNOPIn bool
	// Tolerant keeps Close and Logout from returning the violations.
	Tolerant bool
	// OnViolation is called for each violation, from any goroutine.
	OnViolation func(Violation)
}

func (c Config) withDefaults() Config {
	if c.InitiatorName == "" {
		c.InitiatorName = DefaultInitiatorName
	}
	if c.ISID == ([6]byte{}) {
		c.ISID = RandomISID()
	}
	if c.InitialCmdSN == 0 {
		c.InitialCmdSN = 1
	}
	if c.LoginTimeout == 0 {
		c.LoginTimeout = 15 * time.Second
	}
	if c.HeaderDigest == "" {
		c.HeaderDigest = "None"
	}
	if c.DataDigest == "" {
		c.DataDigest = "None"
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return c
}

// RandomISID returns an ISID of the random format (type 10b). RFC 7143 §11.12.5.
func RandomISID() [6]byte {
	var id [6]byte
	rand.Read(id[1:])
	id[0] = 0x80
	return id
}

// identity is what the first request carries besides authentication.
func (c *Config) identity() Keys {
	k := Keys{{"InitiatorName", c.InitiatorName}}
	if c.Discovery {
		k = append(k, Key{"SessionType", "Discovery"})
	} else {
		k = append(k, Key{"SessionType", "Normal"})
	}
	if c.Target != "" {
		k = append(k, Key{"TargetName", c.Target})
	}
	return k
}

// operationalOffer is the default offer of the operational stage. A connection
// added to a session may offer only what concerns the connection.
func (c *Config) operationalOffer() Keys {
	k := Keys{
		{"HeaderDigest", c.HeaderDigest},
		{"DataDigest", c.DataDigest},
		{"MaxRecvDataSegmentLength", "262144"},
	}
	if c.TSIH != 0 {
		return k
	}
	k = append(k, Keys{
		{"DefaultTime2Wait", "2"},
		{"DefaultTime2Retain", "0"},
		{"ErrorRecoveryLevel", "0"},
	}...)
	if c.Discovery {
		return k
	}
	return append(k, Keys{
		{"InitialR2T", "No"},
		{"ImmediateData", "Yes"},
		{"MaxBurstLength", "262144"},
		{"FirstBurstLength", "65536"},
		{"MaxConnections", "1"},
		{"MaxOutstandingR2T", "1"},
		{"DataPDUInOrder", "Yes"},
		{"DataSequenceInOrder", "Yes"},
	}...)
}
