package pdu

// AsyncEvent is the event of an Async Message, §11.9.1; 248 to 255 are vendor
// specific.
type AsyncEvent uint8

// Async events. The three parameters depend on the event.
const (
	AsyncSCSIEvent         AsyncEvent = 0 // data segment: sense, see SplitSense
	AsyncLogoutRequest     AsyncEvent = 1 // Param3: seconds left
	AsyncConnectionDropped AsyncEvent = 2 // Param1: CID, Param2: Time2Wait, Param3: Time2Retain
	AsyncSessionDropped    AsyncEvent = 3 // Param2: Time2Wait, Param3: Time2Retain
	AsyncRenegotiate       AsyncEvent = 4 // Param3: seconds left
	AsyncTaskTermination   AsyncEvent = 5 // only with TaskReporting=FastAbort
	AsyncVendor            AsyncEvent = 255
)

var asyncEventNames = [...]string{
	AsyncSCSIEvent:         "SCSI event",
	AsyncLogoutRequest:     "logout requested",
	AsyncConnectionDropped: "connection dropped",
	AsyncSessionDropped:    "session dropped",
	AsyncRenegotiate:       "renegotiation requested",
	AsyncTaskTermination:   "tasks terminated",
	AsyncVendor:            "vendor event",
}

func (e AsyncEvent) String() string { return nameOf(asyncEventNames[:], uint8(e), "event") }

// AsyncMessage is news from the target that no request asked for, §11.9.
type AsyncMessage struct {
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN // SCSI event and task termination
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	Event             AsyncEvent
	VCode             uint8
	Param1            uint16
	Param2            uint16
	Param3            uint16
}

// Opcode returns OpAsyncMessage.
func (*AsyncMessage) Opcode() Opcode { return OpAsyncMessage }

// Decode reads p from h.
func (p *AsyncMessage) Decode(h *BHS) {
	*p = AsyncMessage{
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		Event:             AsyncEvent(h[36]),
		VCode:             h[37],
		Param1:            be.Uint16(h[38:]),
		Param2:            be.Uint16(h[40:]),
		Param3:            be.Uint16(h[42:]),
	}
}

// Encode writes all of h from p; the ITT is ReservedTag.
func (p *AsyncMessage) Encode(h *BHS) {
	*h = BHS{0: byte(OpAsyncMessage), 1: 0x80, 36: byte(p.Event), 37: p.VCode}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], ReservedTag)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint16(h[38:], p.Param1)
	be.PutUint16(h[40:], p.Param2)
	be.PutUint16(h[42:], p.Param3)
}
