package pr

import "fmt"

// Nexus identifies an I_T nexus by value: SCSI port names, never a session.
// It is what a registration belongs to, so it outlives connections, restarts
// and heads. RFC 7143 §4.4.1, §4.4.2.
type Nexus struct {
	Initiator string // initiator port name, "iqn…,i,0x<12 hex digits of the ISID>", lower case
	Target    string // target port name, "iqn…,t,0x<4 hex digits of the TPGT>", lower case
}

// InitiatorPort builds an initiator port name. The node name must be
// normalised (lower case) already.
func InitiatorPort(node string, isid [6]byte) string {
	return fmt.Sprintf("%s,i,0x%012x", node, isid[:])
}

// TargetPort builds a target port name.
func TargetPort(node string, tpgt uint16) string {
	return fmt.Sprintf("%s,t,0x%04x", node, tpgt)
}

func (n Nexus) String() string { return n.Initiator + " → " + n.Target }
