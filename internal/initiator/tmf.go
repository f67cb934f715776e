package initiator

import (
	"context"
	"fmt"
)

// TMF is a task management function. RFC 7143 §11.5.1, RFC 7144 §6.3.
type TMF uint8

// Task management functions.
const (
	TMFAbortTask       TMF = 1
	TMFAbortTaskSet    TMF = 2
	TMFClearACA        TMF = 3
	TMFClearTaskSet    TMF = 4
	TMFLUReset         TMF = 5
	TMFTargetWarmReset TMF = 6
	TMFTargetColdReset TMF = 7
	TMFTaskReassign    TMF = 8
	TMFQueryTask       TMF = 9
	TMFQueryTaskSet    TMF = 10
	TMFNexusReset      TMF = 11
	TMFQueryAsyncEvent TMF = 12
)

var tmfNames = map[TMF]string{
	TMFAbortTask: "ABORT TASK", TMFAbortTaskSet: "ABORT TASK SET", TMFClearACA: "CLEAR ACA",
	TMFClearTaskSet: "CLEAR TASK SET", TMFLUReset: "LOGICAL UNIT RESET",
	TMFTargetWarmReset: "TARGET WARM RESET", TMFTargetColdReset: "TARGET COLD RESET",
	TMFTaskReassign: "TASK REASSIGN", TMFQueryTask: "QUERY TASK", TMFQueryTaskSet: "QUERY TASK SET",
	TMFNexusReset: "I_T NEXUS RESET", TMFQueryAsyncEvent: "QUERY ASYNCHRONOUS EVENT",
}

func (f TMF) String() string {
	if n, ok := tmfNames[f]; ok {
		return n
	}
	return fmt.Sprintf("function %d", uint8(f))
}

// TMFStatus is the response to a task management function. RFC 7143 §11.6.1,
// RFC 7144 §6.4.
type TMFStatus uint8

// Task management responses.
const (
	TMFComplete       TMFStatus = 0
	TMFNoTask         TMFStatus = 1
	TMFNoLUN          TMFStatus = 2
	TMFStillAllegiant TMFStatus = 3
	TMFNoReassign     TMFStatus = 4
	TMFNotSupported   TMFStatus = 5
	TMFAuthFailed     TMFStatus = 6
	TMFSucceeded      TMFStatus = 7
	TMFRejected       TMFStatus = 255
)

var tmfStatusNames = map[TMFStatus]string{
	TMFComplete: "function complete", TMFNoTask: "task does not exist", TMFNoLUN: "LUN does not exist",
	TMFStillAllegiant: "task still allegiant", TMFNoReassign: "reassignment not supported",
	TMFNotSupported: "function not supported", TMFAuthFailed: "authorization failed",
	TMFSucceeded: "function succeeded", TMFRejected: "function rejected",
}

func (s TMFStatus) String() string {
	if n, ok := tmfStatusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("response %d", uint8(s))
}

// TMFRequest is a task management function in full. Most callers want the
// methods named after the functions.
type TMFRequest struct {
	Function      TMF
	LUN           LUN
	ReferencedTag uint32 // NoTag unless a task is meant
	RefCmdSN      uint32
	ExpDataSN     uint32
	Queued        bool // not immediate: takes a CmdSN
	Conn          *Conn

	refOwn bool // RefCmdSN is the request's own CmdSN
}

// TMFResponse is the answer.
type TMFResponse struct {
	Status TMFStatus
	Info   [3]byte // additional response information, iSCSIProtocolLevel 2
}

// Manage sends a task management function and waits for its response. Tasks of
// this session that a completed function covers end with ErrAborted.
func (s *Session) Manage(ctx context.Context, r TMFRequest) (TMFResponse, error) {
	var resp TMFResponse
	x := &exchange{request: OpTMFRequest, immediate: !r.Queued, lun: r.LUN}
	x.answer = func(p *PDU) bool {
		resp.Status = TMFStatus(p.BHS[2])
		resp.Info = [3]byte(p.BHS[8:])
		if _, ok := tmfStatusNames[resp.Status]; !ok {
			x.conn.report(RuleTMFResponse, p, resp.Status.String())
		}
		if resp.Info != [3]byte{} && s.params.ProtocolLevel < 2 {
			x.conn.report(RuleReserved, p, "additional response information at iSCSIProtocolLevel 1")
		}
		if resp.Status == TMFComplete {
			s.abortCovered(r, x)
		}
		return true
	}
	err := s.begin(ctx, r.Conn, x, func() []*PDU {
		if r.refOwn {
			r.RefCmdSN = x.cmdSN
		}
		return []*PDU{TMFRequestPDU{
			Immediate: !r.Queued, Function: r.Function, LUN: r.LUN, ITT: x.itt,
			ReferencedTag: r.ReferencedTag, RefCmdSN: r.RefCmdSN, ExpDataSN: r.ExpDataSN,
		}.PDU()}
	})
	if err != nil {
		return resp, err
	}
	err = s.wait(ctx, x)
	return resp, err
}

// abortCovered ends our own tasks that a completed function aborted: no response
// of theirs may follow. RFC 7143 §4.2.3, §11.5.1.
func (s *Session) abortCovered(r TMFRequest, by *exchange) {
	for itt, x := range s.live {
		if x.request != OpSCSICommand {
			continue
		}
		var hit bool
		switch r.Function {
		case TMFAbortTask:
			hit = itt == r.ReferencedTag
		case TMFAbortTaskSet, TMFClearTaskSet, TMFLUReset:
			hit = x.lun == r.LUN && snBefore(x, by)
		case TMFTargetWarmReset, TMFTargetColdReset, TMFNexusReset:
			hit = snBefore(x, by)
		}
		if hit {
			delete(s.live, itt)
			s.aborted[itt] = struct{}{}
			x.finish(ErrAborted)
		}
	}
}

// snBefore tells whether a task came before a function in CmdSN order. An
// immediate function carries the number of the next command.
func snBefore(task, by *exchange) bool { return snLess(task.cmdSN, by.cmdSN) }

// AbortTask aborts one task, on the task's connection.
func (s *Session) AbortTask(ctx context.Context, t *Task) (TMFResponse, error) {
	return s.manageTask(ctx, TMFAbortTask, t)
}

// QueryTask asks whether the target still has a task. RFC 7144 §6.3.
func (s *Session) QueryTask(ctx context.Context, t *Task) (TMFResponse, error) {
	return s.manageTask(ctx, TMFQueryTask, t)
}

// manageTask refers to a task by tag and CmdSN; for an immediate task RefCmdSN
// is that of the request itself. RFC 7143 §11.5.5.
func (s *Session) manageTask(ctx context.Context, f TMF, t *Task) (TMFResponse, error) {
	return s.Manage(ctx, TMFRequest{
		Function: f, LUN: t.cmd.LUN, ReferencedTag: t.x.itt, RefCmdSN: t.x.cmdSN, Conn: t.x.conn,
		refOwn: t.x.immediate,
	})
}

// ManageLUN sends a function that concerns a logical unit.
func (s *Session) ManageLUN(ctx context.Context, f TMF, lun LUN) (TMFResponse, error) {
	return s.Manage(ctx, TMFRequest{Function: f, LUN: lun, ReferencedTag: NoTag})
}

// LUReset sends LOGICAL UNIT RESET.
func (s *Session) LUReset(ctx context.Context, lun LUN) (TMFResponse, error) {
	return s.ManageLUN(ctx, TMFLUReset, lun)
}
