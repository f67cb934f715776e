package daemon

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/plain"
	"nas-target/internal/scsi"
)

// news turns what the packages below tell into log lines: one per event that
// an operator would act on, none per I/O above debug. What initiators can
// cause at will is sampled.
type news struct {
	log     *zap.Logger
	sampled *zap.Logger // for what a peer can repeat as fast as it likes
	left    *leftOut    // of the sampled
}

func newNews(log *zap.Logger) *news {
	left := &leftOut{}
	return &news{log: log, sampled: left.sampling(log), left: left}
}

// reservationsUnknown: a LUN that serves nobody until this is settled.
func (n *news) reservationsUnknown(lun string, err error) {
	n.log.Error("reservations cannot be trusted: the LUN refuses commands", zap.String("lun", lun), zap.Error(err))
}

// lunAbsent: one LUN that is not served, while the others are.
func (n *news) lunAbsent(lun string, err error) {
	n.log.Error("a LUN cannot be opened: it is not ready until an operator has it tried again", zap.String("lun", lun), zap.Error(err))
}

// closeFailed: what a LUN that was taken away left behind.
func (n *news) closeFailed(lun string, err error) {
	n.log.Error("a LUN that was removed did not close well", zap.String("lun", lun), zap.Error(err))
}

// rollBackFailed: a change was refused, and part of it stands.
func (n *news) rollBackFailed(err error) {
	n.log.Error("part of a change could not be taken back", zap.Error(err))
}

func (n *news) portalFailed(portal string, err error) {
	n.log.Error("a portal cannot be opened", zap.String("portal", portal), zap.Error(err))
}

// markFailed: an older copy of the reservations, put back now, would be taken
// for the truth.
func (n *news) markFailed(lun string, err error) {
	n.log.Error("how far the reservations have come cannot be written down", zap.String("lun", lun), zap.Error(err))
}

func (n *news) scsi(lun string) *scsi.Events {
	log := n.log.With(zap.String("lun", lun))
	sampled := n.left.sampling(log) // by itself: a LUN in trouble does not silence the others
	return &scsi.Events{
		Refused: func(t *scsi.Task) { n.refused(sampled, t) },
		Panicked: func(t *scsi.Task, value any, stack []byte) {
			log.Error("a command handler panicked", append(taskFields(t), zap.Any("panic", value), zap.ByteString("stack", stack))...)
		},
		Aborted: func(_ *scsi.Unit, nexus scsi.Nexus, count int, why scsi.Reason) {
			log.Info("commands aborted", zap.String("initiator", plain.Text(nexus.Initiator)), zap.Int("count", count), zap.String("why", string(why)))
		},
		FlushFailed: func(_ *scsi.Unit, err error) {
			log.Error("a flush failed: writes are refused until the failure is cleared", zap.Error(err))
		},
	}
}

// refused tells what went wrong with the medium or met a reservation. What an
// initiator merely asked wrongly is its own affair, and seen with debug.
func (n *news) refused(log *zap.Logger, t *scsi.Task) {
	level := zapcore.DebugLevel
	var check *scsi.Check
	switch {
	case t.Status == scsi.ReservationConflict:
		level = zapcore.InfoLevel
	case errors.As(t.Failure, &check):
		switch check.Key {
		case scsi.KeyMediumError, scsi.KeyHardwareError, scsi.KeyNotReady, scsi.KeyDataProtect:
			level = zapcore.WarnLevel
		}
	}
	if entry := log.Check(level, "command refused"); entry != nil {
		entry.Write(taskFields(t)...)
	}
}

func taskFields(t *scsi.Task) []zap.Field {
	fields := []zap.Field{zap.String("initiator", plain.Text(t.Nexus().Initiator)), zap.Stringer("status", t.Status)}
	if c := t.Command(); c != nil {
		fields = append(fields, zap.String("command", c.Name))
	}
	if t.Failure != nil {
		fields = append(fields, zap.NamedError("why", t.Failure))
	}
	return fields
}

// iscsi tells of sessions and of what ends them. Who connects and fails is
// sampled: anybody who reaches the port can do that.
func (n *news) iscsi() *iscsi.Events {
	return &iscsi.Events{
		AcceptFailed: func(portal string, err error) {
			n.sampled.Error("a portal cannot take connections", zap.String("portal", portal), zap.Error(err))
		},
		LoginFailed: func(i iscsi.InitiatorInfo, err *iscsi.LoginError) {
			level := zapcore.WarnLevel
			if err.Reason == iscsi.ReasonLoginIO {
				level = zapcore.DebugLevel // it went away: a port check, a login given up
			}
			n.sampled.Log(level, "login refused", zap.String("initiator", plain.Text(i.Name)), zap.Stringer("from", i.Remote),
				zap.String("portal", i.Portal), zap.Stringer("answer", err.Status), zap.String("why", string(err.Reason)), zap.NamedError("cause", err.Err))
		},
		SessionUp: func(s iscsi.SessionInfo) {
			fields := sessionFields(s)
			if s.User != "" {
				fields = append(fields, zap.String("user", plain.Text(s.User)))
			}
			n.log.Log(sessionLevel(s), "session up", fields...)
		},
		SessionDown: func(s iscsi.SessionInfo, why iscsi.Reason) {
			n.log.Log(sessionLevel(s), "session down", append(sessionFields(s), zap.String("why", string(why)))...)
		},
		Rejected: func(s iscsi.SessionInfo, _ *pdu.BHS, _ pdu.RejectReason, why iscsi.Reason) {
			n.sampled.Warn("PDU rejected", append(sessionFields(s), zap.String("why", string(why)))...)
		},
		DigestError: func(s iscsi.SessionInfo, c iscsi.ConnInfo, which iscsi.Reason) {
			n.sampled.Warn("digest error: the network damages data", append(sessionFields(s), zap.Stringer("from", c.Remote), zap.String("which", string(which)))...)
		},
		PingTimeout: func(s iscsi.SessionInfo, c iscsi.ConnInfo) {
			n.log.Warn("an initiator does not answer and is cut off", append(sessionFields(s), zap.Stringer("from", c.Remote))...)
		},
		TaskManagement: func(s iscsi.SessionInfo, f scsi.Function, l scsi.LUN, r scsi.TMFResponse) {
			n.log.Info("task management", append(sessionFields(s), zap.String("function", functionName(f)), zap.Stringer("lun", l), zap.String("answer", answerName(r)))...)
		},
		LeftBehind: func(s iscsi.SessionInfo, _ iscsi.ConnInfo, l scsi.LUN, cdb [16]byte) {
			// After 10 to 20 ms: a slow disk, and nothing to worry about. What is
			// really stuck, the status tells.
			n.sampled.Debug("a command is slow in the medium; others go on", append(sessionFields(s), zap.Stringer("lun", l), zap.String("opcode", fmt.Sprintf("%02xh", cdb[0])))...)
		},
	}
}

// sessionLevel keeps discovery out of the way: it ends in a second and gives
// nobody a disk.
func sessionLevel(s iscsi.SessionInfo) zapcore.Level {
	if s.Discovery {
		return zapcore.DebugLevel
	}
	return zapcore.InfoLevel
}

func sessionFields(s iscsi.SessionInfo) []zap.Field {
	fields := []zap.Field{zap.Uint64("session", s.ID), zap.String("initiator", plain.Text(s.Initiator)), zap.Stringer("isid", s.ISID)}
	if s.Discovery {
		return append(fields, zap.Bool("discovery", true))
	}
	return append(fields, zap.String("target", s.Target), zap.Uint16("group", s.TPGT))
}

// serving tells that the start is over, and what an operator should not learn
// from somebody else.
func (n *news) serving(d *Daemon) {
	now := d.now.Load()
	n.exposed(now.conf)
	bound := d.Portals()
	portals := make([]string, len(bound))
	for i, p := range bound {
		portals[i] = p.String()
	}
	n.log.Info("serving", zap.String("version", Version), zap.Int("targets", len(now.targets)), zap.Int("luns", len(now.units)),
		zap.Strings("portals", portals), zap.String("data", d.dir.root), zap.Duration("start", time.Since(d.started)))
}

// exposed warns of what a configuration leaves open.
func (n *news) exposed(c *config.Config) {
	for i := range c.Targets {
		if c.Targets[i].Access == config.AccessOpen {
			n.log.Warn("the target is open: whoever reaches a portal may read and write its disks", zap.String("target", c.Targets[i].Name))
		}
	}
	if weakCHAP(c) {
		n.log.Warn("CHAP may use MD5, which is weak: who hears a login can try out secrets at great speed; leave md5 out of chap.algorithms if all initiators have better")
	}
}

func functionName(f scsi.Function) string {
	switch f {
	case scsi.AbortTask:
		return "abort task"
	case scsi.AbortTaskSet:
		return "abort task set"
	case scsi.ClearACA:
		return "clear ACA"
	case scsi.ClearTaskSet:
		return "clear task set"
	case scsi.LogicalUnitReset:
		return "logical unit reset"
	case scsi.TargetWarmReset:
		return "target warm reset"
	case scsi.TargetColdReset:
		return "target cold reset"
	case scsi.TaskReassign:
		return "task reassign"
	case scsi.QueryTask:
		return "query task"
	case scsi.QueryTaskSet:
		return "query task set"
	case scsi.NexusReset:
		return "I_T nexus reset"
	case scsi.QueryAsyncEvent:
		return "query asynchronous event"
	}
	return fmt.Sprintf("function %d", f)
}

func answerName(r scsi.TMFResponse) string {
	switch r {
	case scsi.FunctionComplete:
		return "complete"
	case scsi.TaskDoesNotExist:
		return "task does not exist"
	case scsi.LUNDoesNotExist:
		return "LUN does not exist"
	case scsi.FunctionNotSupported:
		return "not supported"
	case scsi.FunctionSucceeded:
		return "succeeded"
	case scsi.FunctionRejected:
		return "rejected"
	}
	return fmt.Sprintf("response %d", r)
}
