package pr

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Nexus identifies an I_T nexus by value: SCSI port names, never a session.
// It is what a registration belongs to, so it outlives connections, restarts
// and heads. RFC 7143 §4.4.1, §4.4.2.
type Nexus struct {
	Initiator string // initiator port name, "iqn…,i,0x<12 hex digits of the ISID>", lower case
	Target    string // target port name, "iqn…,t,0x<4 hex digits of the TPGT>", lower case
}

const (
	maxNodeName = 223 // bytes; RFC 7143 §4.2.7.1

	// MaxPortName is the longest port name in bytes: a node name and ",i,0x"
	// with 12 digits.
	MaxPortName = maxNodeName + 17
)

// InitiatorPort builds an initiator port name. The node name must be
// normalised (lower case) already.
func InitiatorPort(node string, isid [6]byte) string {
	return node + ",i,0x" + hex.EncodeToString(isid[:])
}

// TargetPort builds a target port name.
func TargetPort(node string, tpgt uint16) string {
	digits := strconv.FormatUint(uint64(tpgt)|1<<16, 16)[1:]
	return node + ",t,0x" + digits
}

// Node returns the iSCSI node name of an initiator or target port name.
func Node(port string) string {
	if i := strings.LastIndexByte(port, ','); i >= 2 && (port[i-2:i] == ",i" || port[i-2:i] == ",t") {
		return port[:i-2]
	}
	return port
}

// storable reports whether a registration of n can be kept. The transport
// gives no other names; the rules do not rely on it.
func (n Nexus) storable() bool {
	return n.Initiator != "" && n.Target != "" && len(n.Initiator) <= MaxPortName && len(n.Target) <= MaxPortName
}

func (n Nexus) String() string { return n.Initiator + " → " + n.Target }
