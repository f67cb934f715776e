package pr

import "fmt"

// Action is what a caller asks of Step. The PERSISTENT RESERVE OUT service
// actions have their codes on the wire; anything else in 00h to 1Fh is refused
// as an unsupported service action.
type Action uint8

const (
	Register               Action = 0x00
	Reserve                Action = 0x01
	Release                Action = 0x02
	Clear                  Action = 0x03
	Preempt                Action = 0x04
	PreemptAndAbort        Action = 0x05
	RegisterAndIgnore      Action = 0x06 // REGISTER AND IGNORE EXISTING KEY
	RegisterAndMove        Action = 0x07
	ReplaceLostReservation Action = 0x08
)

const (
	LegacyReserve Action = 0x40 + iota // RESERVE(6), RESERVE(10)
	LegacyRelease                      // RELEASE(6), RELEASE(10)

	// Events.

	NexusLoss     // From is gone: logout, connection or session loss, I_T NEXUS RESET
	LUReset       // LOGICAL UNIT RESET, target warm or cold reset
	PowerCycle    // the unit itself was switched off; a restart of the daemon is not
	OperatorClear // an administrator removes everything, lost information included
)

var actionNames = map[Action]string{
	Register:               "register",
	Reserve:                "reserve",
	Release:                "release",
	Clear:                  "clear",
	Preempt:                "preempt",
	PreemptAndAbort:        "preempt-and-abort",
	RegisterAndIgnore:      "register-and-ignore",
	RegisterAndMove:        "register-and-move",
	ReplaceLostReservation: "replace-lost-reservation",
	LegacyReserve:          "legacy-reserve",
	LegacyRelease:          "legacy-release",
	NexusLoss:              "nexus-loss",
	LUReset:                "lu-reset",
	PowerCycle:             "power-cycle",
	OperatorClear:          "operator-clear",
}

func (a Action) String() string {
	if name, ok := actionNames[a]; ok {
		return name
	}
	return fmt.Sprintf("action-%#02x", uint8(a))
}

// Op is one request: a PERSISTENT RESERVE OUT command, a SPC-2 RESERVE or
// RELEASE, or an event. Fields an action does not look at are ignored, so the
// parser may fill in what the bytes said.
type Op struct {
	Action Action
	From   Nexus

	Key        Key   // RESERVATION KEY
	ServiceKey Key   // SERVICE ACTION RESERVATION KEY
	Scope      uint8 // CDB byte 2, bits 7-4
	Type       Type  // CDB byte 2, bits 3-0; any value

	APTPL          bool
	AllTargetPorts bool // ALL_TG_PT
	SpecIPt        bool // SPEC_I_PT
	Unregister     bool // UNREG of REGISTER AND MOVE

	// Transports holds what follows the basic list with SPEC_I_PT=1, or the
	// one TransportID of REGISTER AND MOVE.
	Transports   []TransportID
	RelativePort uint16 // RELATIVE TARGET PORT IDENTIFIER of REGISTER AND MOVE

	// BadLength says that PARAMETER LIST LENGTH, or a length inside the list,
	// is wrong. The refusal has its place in the order of checks, so the
	// command is brought here all the same.
	BadLength bool

	Peer string // address of the session, for the audit trail only
}

// TransportID is a parsed iSCSI TransportID. SPC-4 r36f 7.6.4.6.
type TransportID struct {
	Node string  // iSCSI node name, normalised to lower case
	Port bool    // format 01b: Node and ISID name one initiator port; else every known port of Node
	ISID [6]byte // with Port

	// Malformed is set for another protocol or format, or a name that is none.
	Malformed bool
	Offset    uint16 // of its first byte in the parameter list, for the field pointer
}

// Env is what the rules must know of the device around the unit.
type Env struct {
	// TargetPorts are the ports of the target device, through each of which
	// the unit can be reached. ALL_TG_PT registers with all of them.
	TargetPorts []Port

	// InitiatorPorts names the initiator ports the device server knows: what a
	// TransportID of format 00b may stand for.
	InitiatorPorts []string

	MaxRegistrations int  // 0: DefaultMaxRegistrations
	NUAR             bool // Control mode page: no unit attention on release
}

// Port is a target port: its SCSI name (see TargetPort) and its relative
// target port identifier.
type Port struct {
	Name       string
	RelativeID uint16
}

// DefaultMaxRegistrations is the limit of registrations for one unit.
const DefaultMaxRegistrations = 1024

func (e Env) max() int {
	if e.MaxRegistrations > 0 {
		return e.MaxRegistrations
	}
	return DefaultMaxRegistrations
}
