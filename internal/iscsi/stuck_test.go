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

// stuck makes the target block in every command for block 99 until the channel
// is closed.
func stuck(r *rig) chan struct{} {
	release := make(chan struct{})
	r.target.Enter = func(t *scsi.Task, _ bool) (scsi.Progress, bool) {
		if t.CDB[5] == 99 {
			<-release
		}
		return 0, true
	}
	return release
}

func ping(i *iscsitest.Initiator) {
	i.T.Helper()
	n := i.NextITT()
	i.Send(&pdu.NOPOut{Immediate: true, ITT: n, TTT: pdu.ReservedTag, CmdSN: i.CmdSN, ExpStatSN: i.ExpStatSN}, []byte("are you there?"))
	a, data := iscsitest.Expect[*pdu.NOPIn](i)
	require.Equal(i.T, n, a.ITT)
	require.Equal(i.T, "are you there?", string(data))
}

// A command stuck in the medium holds up nobody else, and is answered when it
// comes back.
func TestStuckCommand(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=65536")
		release := stuck(r)
		w := i.Write10(99, 1)
		data := pattern(512, 7)
		start := time.Now()
		// What follows in the same segment must not be lost.
		other := i.Read10(5, 3)
		go i.Conn.Write(append(i.Encode(w, nil, data), i.Encode(other, nil, nil)...))
		collectRead(i, other, 65536, 262144)
		require.LessOrEqual(t, time.Since(start), 2*watchInterval)
		ping(i)
		for n := range 200 { // the receive buffer is used again and again
			q := i.Write10(uint32(n%90), 8)
			i.Send(q, pattern(4096, 0xaa))
			good(i, q)
		}
		more := i.Read10(99, 1)
		i.Send(more, nil)
		time.Sleep(time.Second)
		st := r.srv.Sessions()[0]
		require.Equal(t, 2, st.Conns[0].Tasks)
		require.GreaterOrEqual(t, st.Conns[0].OldestTask, time.Second)
		require.EqualValues(t, 0x2a, st.Conns[0].OldestCDB[0])
		require.EqualValues(t, 2, st.Total.LeftBehind)
		ping(i)
		close(release)
		for range 2 {
			p, _, err := i.Read()
			require.NoError(t, err)
			switch p := p.(type) {
			case *pdu.SCSIResponse:
				require.Equal(t, w.ITT, p.ITT)
				require.Equal(t, uint8(scsi.Good), p.Status)
			case *pdu.DataIn:
				require.Equal(t, more.ITT, p.ITT)
			}
		}
		block := r.target.Block(99)
		require.Equal(t, data, block[:], "the borrowed data were kept for the stuck call")
		ping(i)
	})
}

// Task management of a stuck command answers when it came back, and not before.
func TestAbortStuckCommand(t *testing.T) {
	for _, f := range []pdu.TMFFunction{pdu.TMFAbortTask, pdu.TMFAbortTaskSet, pdu.TMFLogicalUnitReset} {
		t.Run(f.String(), func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login("")
				release := stuck(r)
				w := i.Write10(99, 1)
				i.Send(w, make([]byte, 512))
				q := i.TMF(f, 0)
				q.RefTaskTag, q.RefCmdSN = w.ITT, w.CmdSN
				i.Send(q, nil)
				i.Silent(3 * time.Second)
				ping(i)
				close(release)
				tmfAnswer(i, q, pdu.TMFComplete)
				i.Silent(time.Second)
				require.Empty(t, r.target.Writes())
				require.Zero(t, r.srv.Sessions()[0].Conns[0].Tasks)
			})
		})
	}
}

// The SCSI layer may not have listed a stuck command when it is asked to end
// it. It ends nevertheless, before the answer.
func TestAbortCommandThatIsNotListedYet(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		release := make(chan struct{})
		first := true
		r.target.Enter = func(t *scsi.Task, resume bool) (scsi.Progress, bool) {
			if first {
				first = false
				<-release
			}
			return 0, true
		}
		r.target.OnManage = func(m scsi.TaskMgmt, done func(scsi.TMFResponse, uint32)) bool {
			if m.Function == scsi.LogicalUnitReset {
				done(scsi.FunctionComplete, 0)
				return true
			}
			return false
		}
		w := i.Write10(3, 8) // will want data
		i.Send(w, nil)
		q := i.TMF(pdu.TMFLogicalUnitReset, 0)
		i.Send(q, nil)
		i.Silent(time.Second)
		close(release)
		tmfAnswer(i, q, pdu.TMFComplete)
		managed := r.target.Managed()
		require.Equal(t, scsi.AbortTask, managed[len(managed)-1].Function)
		i.Silent(time.Second)
		require.Zero(t, r.srv.Sessions()[0].Conns[0].Tasks)
		n := i.TestUnitReady()
		i.Send(n, nil)
		good(i, n)
		require.Equal(t, i.CmdSN+127, i.MaxCmdSN)
	})
}

// A command that never comes back: task management says so after a while.
func TestAbortCommandThatStaysStuck(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		release := stuck(r)
		defer close(release)
		w := i.Write10(99, 1)
		i.Send(w, make([]byte, 512))
		q := i.TMF(pdu.TMFLogicalUnitReset, 0)
		i.Send(q, nil)
		start := time.Now()
		for range 7 {
			i.Silent(time.Second)
			ping(i)
		}
		tmfAnswer(i, q, pdu.TMFRejected)
		require.Less(t, time.Since(start), 10*time.Second)
	})
}

// Connection and session end although a command is stuck; its late result
// goes nowhere.
func TestCloseWithStuckCommand(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0")
		release := stuck(r)
		w := i.Write10(99, 1)
		i.Send(w, make([]byte, 512))
		synctest.Wait()
		i.Conn.Close()
		time.Sleep(time.Second)
		require.True(t, r.target.Detached())
		require.Empty(t, r.srv.Sessions())
		close(release)
		synctest.Wait()
		require.Empty(t, r.target.Writes())
	})
}
