package pdu

import "fmt"

// TMFFunction is a task management function, §11.5.1; 9 to 12 are of RFC 7144.
type TMFFunction uint8

// Task management functions.
const (
	TMFAbortTask        TMFFunction = 1
	TMFAbortTaskSet     TMFFunction = 2
	TMFClearACA         TMFFunction = 3
	TMFClearTaskSet     TMFFunction = 4
	TMFLogicalUnitReset TMFFunction = 5
	TMFTargetWarmReset  TMFFunction = 6
	TMFTargetColdReset  TMFFunction = 7
	TMFTaskReassign     TMFFunction = 8
	TMFQueryTask        TMFFunction = 9
	TMFQueryTaskSet     TMFFunction = 10
	TMFITNexusReset     TMFFunction = 11
	TMFQueryAsyncEvent  TMFFunction = 12
)

var tmfFunctionNames = [...]string{
	TMFAbortTask:        "ABORT TASK",
	TMFAbortTaskSet:     "ABORT TASK SET",
	TMFClearACA:         "CLEAR ACA",
	TMFClearTaskSet:     "CLEAR TASK SET",
	TMFLogicalUnitReset: "LOGICAL UNIT RESET",
	TMFTargetWarmReset:  "TARGET WARM RESET",
	TMFTargetColdReset:  "TARGET COLD RESET",
	TMFTaskReassign:     "TASK REASSIGN",
	TMFQueryTask:        "QUERY TASK",
	TMFQueryTaskSet:     "QUERY TASK SET",
	TMFITNexusReset:     "I_T NEXUS RESET",
	TMFQueryAsyncEvent:  "QUERY ASYNCHRONOUS EVENT",
}

func (f TMFFunction) String() string { return nameOf(tmfFunctionNames[:], uint8(f), "function") }

// TMFResult is the response to a task management function, §11.6.1.
type TMFResult uint8

// Task management responses.
const (
	TMFComplete             TMFResult = 0
	TMFNoTask               TMFResult = 1
	TMFNoLUN                TMFResult = 2
	TMFStillAllegiant       TMFResult = 3
	TMFReassignNotSupported TMFResult = 4
	TMFNotSupported         TMFResult = 5
	TMFAuthorizationFailed  TMFResult = 6
	TMFSucceeded            TMFResult = 7 // RFC 7144 §5.1
	TMFRejected             TMFResult = 255
)

var tmfResultNames = [...]string{
	TMFComplete:             "function complete",
	TMFNoTask:               "task does not exist",
	TMFNoLUN:                "LUN does not exist",
	TMFStillAllegiant:       "task still allegiant",
	TMFReassignNotSupported: "task allegiance reassignment not supported",
	TMFNotSupported:         "function not supported",
	TMFAuthorizationFailed:  "function authorization failed",
	TMFSucceeded:            "function succeeded",
	TMFRejected:             "function rejected",
}

func (r TMFResult) String() string { return nameOf(tmfResultNames[:], uint8(r), "response") }

// nameOf looks n up in names; what has no name prints as kind(n).
func nameOf(names []string, n uint8, kind string) string {
	if int(n) < len(names) && names[n] != "" {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", kind, n)
}

// TMFRequest asks for a task management function, §11.5. No data segment.
type TMFRequest struct {
	Immediate         bool
	Function          TMFFunction // 7 bits
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	RefTaskTag        uint32 // of the task to abort, reassign or query, else ReservedTag
	CmdSN             Serial
	ExpStatSN         Serial
	RefCmdSN          Serial
	ExpDataSN         uint32 // TASK REASSIGN
}

// Opcode returns OpTMFRequest.
func (*TMFRequest) Opcode() Opcode { return OpTMFRequest }

// Decode reads p from h.
func (p *TMFRequest) Decode(h *BHS) {
	*p = TMFRequest{
		Immediate:         h.Immediate(),
		Function:          TMFFunction(h[1] & 0x7f),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		RefTaskTag:        be.Uint32(h[20:]),
		CmdSN:             serialAt(h, 24),
		ExpStatSN:         serialAt(h, 28),
		RefCmdSN:          serialAt(h, 32),
		ExpDataSN:         be.Uint32(h[36:]),
	}
}

// Encode writes all of h from p.
func (p *TMFRequest) Encode(h *BHS) {
	*h = BHS{0: request(OpTMFRequest, p.Immediate), 1: 0x80 | byte(p.Function)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.RefTaskTag)
	be.PutUint32(h[24:], uint32(p.CmdSN))
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
	be.PutUint32(h[32:], uint32(p.RefCmdSN))
	be.PutUint32(h[36:], p.ExpDataSN)
}

// TMFResponse answers a task management function, §11.6. No data segment.
type TMFResponse struct {
	Response          TMFResult
	TotalAHSLength    uint8
	DataSegmentLength uint32
	AdditionalInfo    [3]byte // additional response information, RFC 7144 §5.1
	ITT               uint32
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
}

// Opcode returns OpTMFResponse.
func (*TMFResponse) Opcode() Opcode { return OpTMFResponse }

// Decode reads p from h.
func (p *TMFResponse) Decode(h *BHS) {
	*p = TMFResponse{
		Response:          TMFResult(h[2]),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		AdditionalInfo:    [3]byte(h[8:]),
		ITT:               be.Uint32(h[16:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
	}
}

// Encode writes all of h from p.
func (p *TMFResponse) Encode(h *BHS) {
	*h = BHS{0: byte(OpTMFResponse), 1: 0x80, 2: byte(p.Response)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	copy(h[8:], p.AdditionalInfo[:])
	be.PutUint32(h[16:], p.ITT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
}
