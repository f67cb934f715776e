package iscsi

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// tmfAnswer reads the response to a task management request.
func tmfAnswer(i *iscsitest.Initiator, q *pdu.TMFRequest, want pdu.TMFResult) *pdu.TMFResponse {
	i.T.Helper()
	a, _ := iscsitest.Expect[*pdu.TMFResponse](i)
	require.Equal(i.T, q.ITT, a.ITT)
	require.Equal(i.T, want, a.Response)
	return a
}

// pending makes the target keep every write for later; finish ends one.
func pending(r *rig) (kept func() []*scsi.Task) {
	var tasks []*scsi.Task
	r.target.Enter = func(t *scsi.Task, _ bool) (scsi.Progress, bool) {
		if t.CDB[0] != 0x2a || len(t.Out) < int(t.OutLen) {
			return 0, true
		}
		tasks = append(tasks, t)
		return scsi.Pending, false
	}
	return func() []*scsi.Task {
		synctest.Wait()
		return tasks
	}
}

// RFC 7143 §11.5.1: an aborted task gets no response, its tag is free, and the
// answer tells the truth.
func TestAbortTask(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		kept := pending(r)

		// At the SCSI layer.
		w := i.Write10(0, 1)
		i.Send(w, make([]byte, 512))
		require.Len(t, kept(), 1)
		q := i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag, q.RefCmdSN = w.ITT, w.CmdSN
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFComplete)
		r.target.Finish(kept()[0])
		i.Silent(time.Second)
		require.Empty(t, r.target.Writes())

		// Waiting for data: what was asked for is swallowed.
		w = i.Write10(0, 8)
		i.Send(w, nil)
		r2t, _ := iscsitest.Expect[*pdu.R2T](i)
		q = i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag, q.RefCmdSN = w.ITT, w.CmdSN
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFComplete)
		i.Send(i.DataOut(r2t, 0, 0, false), make([]byte, 2048))
		i.Send(i.DataOut(r2t, 1, 2048, true), make([]byte, 2048))
		i.Silent(time.Second)
		i.Send(i.DataOut(r2t, 0, 0, true), make([]byte, 4096)) // once is enough
		iscsitest.Expect[*pdu.Reject](i)
		require.Empty(t, r.target.Writes())

		// The tag may be used again.
		again := i.Read10(0, 1)
		again.ITT = w.ITT
		i.Send(again, nil)
		collectRead(i, again, 8192, 262144)

		// Over already.
		q = i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag, q.RefCmdSN = again.ITT, again.CmdSN
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFNoTask)

		// Another unit's.
		w = i.Write10(0, 1)
		i.Send(w, make([]byte, 512))
		q = i.TMF(pdu.TMFAbortTask, 1<<48)
		q.RefTaskTag, q.RefCmdSN = w.ITT, w.CmdSN
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFNoTask)
		tasks := kept()
		r.target.Finish(tasks[len(tasks)-1])
		good(i, w)
	})
}

// A command that never arrived counts as received when it is aborted: those
// behind it go on. RFC 7143 §11.6.1.
func TestAbortTaskThatNeverCame(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		lost := i.Write10(0, 1)
		behind := i.Read10(0, 1)
		i.Send(behind, nil)
		i.Silent(time.Second)
		q := i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag, q.RefCmdSN = lost.ITT, lost.CmdSN
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFComplete)
		collectRead(i, behind, 8192, 262144)

		// One that came, but waits for its turn.
		lost, waits, behind := i.TestUnitReady(), i.Write10(0, 1), i.TestUnitReady()
		i.Send(waits, make([]byte, 512))
		i.Send(behind, nil)
		q = i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag, q.RefCmdSN = waits.ITT, waits.CmdSN
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFComplete)
		i.Send(lost, nil)
		good(i, lost)
		good(i, behind)
		require.Empty(t, r.target.Writes())

		// Outside the window.
		q = i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag, q.RefCmdSN = 4711, i.CmdSN+1000
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFNoTask)
	})
}

// Functions that end several tasks answer after the data asked for came, or
// after a short while: Linux stops sending at once.
func TestMultiTaskAborts(t *testing.T) {
	for _, f := range []pdu.TMFFunction{pdu.TMFAbortTaskSet, pdu.TMFClearTaskSet, pdu.TMFLogicalUnitReset, pdu.TMFTargetWarmReset} {
		t.Run(f.String(), func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login("InitialR2T=No FirstBurstLength=512")
				kept := pending(r)
				inside, data, gathering := i.Write10(0, 1), i.Write10(0, 8), i.Write10(0, 8)
				gathering.Final = false
				i.Send(inside, make([]byte, 512))
				i.Send(data, nil)
				r2t, _ := iscsitest.Expect[*pdu.R2T](i)
				i.Send(gathering, nil)
				require.Len(t, kept(), 1)

				start := time.Now()
				q := i.TMF(f, 0)
				i.Send(q, nil)
				tmfAnswer(i, q, pdu.TMFComplete)
				require.Equal(t, dataWait, time.Since(start))
				r.target.Finish(kept()[0])
				i.Send(i.DataOut(r2t, 0, 0, true), make([]byte, 4096))
				i.Send(i.Unsolicited(gathering.ITT, 0, 0, true), make([]byte, 512))
				i.Silent(time.Second)
				require.Empty(t, r.target.Writes())

				// With the data in time.
				data = i.Write10(0, 8)
				i.Send(data, nil)
				r2t, _ = iscsitest.Expect[*pdu.R2T](i)
				q = i.TMF(f, 0)
				start = time.Now()
				i.Send(q, nil)
				i.Silent(dataWait / 2)
				i.Send(i.DataOut(r2t, 0, 0, true), make([]byte, 4096))
				tmfAnswer(i, q, pdu.TMFComplete)
				require.Less(t, time.Since(start), dataWait)

				c := i.TestUnitReady()
				i.Send(c, nil)
				good(i, c)
				require.EqualValues(t, i.CmdSN, i.ExpCmdSN)
				require.EqualValues(t, i.CmdSN+127, i.MaxCmdSN, "all slots are free again")
			})
		})
	}
}

func TestTaskManagementAnswers(t *testing.T) {
	for _, c := range []struct {
		level int
		f     pdu.TMFFunction
		lun   pdu.LUN
		want  pdu.TMFResult
	}{
		{1, pdu.TMFLogicalUnitReset, 7 << 48, pdu.TMFNoLUN},
		{1, pdu.TMFAbortTaskSet, 7 << 48, pdu.TMFNoLUN},
		{1, pdu.TMFClearACA, 0, pdu.TMFNotSupported},
		{1, pdu.TMFTaskReassign, 0, pdu.TMFReassignNotSupported},
		{1, pdu.TMFQueryTask, 0, pdu.TMFNotSupported},
		{1, pdu.TMFQueryTaskSet, 0, pdu.TMFNotSupported},
		{1, pdu.TMFITNexusReset, 0, pdu.TMFNotSupported},
		{1, pdu.TMFQueryAsyncEvent, 0, pdu.TMFNotSupported},
		{2, 13, 0, pdu.TMFNotSupported},
		{2, 0, 0, pdu.TMFNotSupported},
		{2, pdu.TMFQueryTask, 0, pdu.TMFComplete},
		{2, pdu.TMFQueryTaskSet, 0, pdu.TMFComplete},
		{2, pdu.TMFQueryAsyncEvent, 0, pdu.TMFSucceeded},
	} {
		t.Run(c.f.String(), func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login(map[int]string{1: "", 2: "iSCSIProtocolLevel=2"}[c.level])
				for _, immediate := range []bool{true, false} {
					q := i.TMF(c.f, c.lun)
					q.Immediate = immediate
					if !immediate {
						i.CmdSN++
					}
					i.Send(q, nil)
					a := tmfAnswer(i, q, c.want)
					if c.f == pdu.TMFQueryAsyncEvent && c.level == 2 {
						require.Equal(t, [3]byte{6, 0x29, 1}, a.AdditionalInfo)
					}
				}
				require.Equal(t, i.CmdSN+127, i.MaxCmdSN)
			}, func(o *Options) {
				o.Limits = DefaultLimits()
				o.Limits.ProtocolLevel = 2
			})
		})
	}
}

// TARGET COLD RESET is a power-on event: when its answer is out, all sessions
// with the target end, and no write of theirs lands any more. RFC 7143 §11.5.1.
func TestTargetColdReset(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=20")
		other := r.connect()
		other.ISID[5] = 9
		other.Login(testTarget, "")
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		more := *r.node
		more.Name = "iqn.2026-11.test:elsewhere"
		r.srv.SetNodes([]*Node{r.node, &more})
		elsewhere := r.connect()
		elsewhere.Login("iqn.2026-11.test:elsewhere", "")
		discovery := r.connect()
		discovery.Login("", "")

		kept := pending(r)
		w := other.Write10(0, 1)
		other.Send(w, make([]byte, 512))
		require.Len(t, kept(), 1)
		i.Send(i.Write10(8, 8), nil)
		r2t, _ := iscsitest.Expect[*pdu.R2T](i)
		q := i.TMF(pdu.TMFTargetColdReset, 0)
		i.Send(q, nil)
		i.Send(i.DataOut(r2t, 0, 0, true), make([]byte, 4096))
		tmfAnswer(i, q, pdu.TMFComplete)
		r.target.Finish(kept()[0])
		for _, x := range []*iscsitest.Initiator{i, other} {
			a, _ := iscsitest.Expect[*pdu.AsyncMessage](x)
			require.Equal(t, pdu.AsyncSessionDropped, a.Event)
		}
		i.Closed()
		other.Closed()
		r.requireSaw(ReasonColdReset)
		require.True(t, r.target.Detached())
		require.Empty(t, r.target.Writes())
		require.Len(t, r.srv.Sessions(), 2)
		ping(elsewhere)
		ping(discovery)
		again := r.connect()
		again.Login(testTarget, "")
		ping(again)
	})
}

// One that cannot be completed ends no session: it is not over.
func TestTargetColdResetWhileStuck(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		r.target.OnManage = func(_ scsi.TaskMgmt, done func(scsi.TMFResponse, uint32)) bool {
			done(scsi.FunctionRejected, 0)
			return true
		}
		q := i.TMF(pdu.TMFTargetColdReset, 0)
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFRejected)
		ping(i)
	})
}

// RFC 7144 §4.
func TestLevel2Functions(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("iSCSIProtocolLevel=2")
		kept := pending(r)
		w := i.Write10(0, 1)
		i.Send(w, make([]byte, 512))
		require.Len(t, kept(), 1)
		for _, f := range []pdu.TMFFunction{pdu.TMFQueryTask, pdu.TMFQueryTaskSet} {
			q := i.TMF(f, 0)
			q.RefTaskTag = w.ITT
			i.Send(q, nil)
			tmfAnswer(i, q, pdu.TMFSucceeded)
		}
		q := i.TMF(pdu.TMFITNexusReset, 0)
		i.Send(q, nil)
		i.Closed()
		r.requireSaw(ReasonNexusReset)
		require.True(t, r.target.Detached())
		require.Empty(t, r.srv.Sessions())
	}, func(o *Options) {
		o.Limits = DefaultLimits()
		o.Limits.ProtocolLevel = 2
	})
}

// A function that names another function is rejected. RFC 7143 §11.6.1.
func TestAbortTaskOfTaskManagement(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		var answer func(scsi.TMFResponse, uint32)
		r.target.OnManage = func(m scsi.TaskMgmt, done func(scsi.TMFResponse, uint32)) bool {
			answer = done
			return m.Function == scsi.LogicalUnitReset
		}
		reset := i.TMF(pdu.TMFLogicalUnitReset, 0)
		i.Send(reset, nil)
		q := i.TMF(pdu.TMFAbortTask, 0)
		q.RefTaskTag = reset.ITT
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFRejected)
		answer(scsi.FunctionRejected, 0)
		tmfAnswer(i, reset, pdu.TMFRejected)
	})
}

// Answers that are ready but not sent yet belong to the tasks that are ended:
// they do not follow the response. A read that is under way stops.
func TestResetStopsAnswersUnderWay(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=65536 MaxBurstLength=65536")
		c := i.Read10(0, 4096) // 2 MiB, far more than the stream buffers
		i.Send(c, nil)
		synctest.Wait()
		q := i.TMF(pdu.TMFLogicalUnitReset, 0)
		i.Send(q, nil)
		got := 0
		for {
			p, data, err := i.Read()
			require.NoError(t, err)
			if a, ok := p.(*pdu.TMFResponse); ok {
				require.Equal(t, pdu.TMFComplete, a.Response)
				break
			}
			require.False(t, p.(*pdu.DataIn).HasStatus)
			got += len(data)
		}
		require.Less(t, got, 4096*512)
		i.Silent(time.Second)
		n := i.TestUnitReady()
		i.Send(n, nil)
		good(i, n)
	})
}
