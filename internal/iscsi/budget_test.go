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

// What is beyond the budget waits, and everything is answered in the end.
func TestBudgetOfASession(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		var at, most int
		r.target.Enter = func(x *scsi.Task, resume bool) (scsi.Progress, bool) {
			if !resume {
				at += int(x.OutLen)
				most = max(most, at)
			} else {
				at -= int(x.OutLen)
			}
			return 0, true
		}
		var sent []*pdu.SCSICommand
		for range 100 {
			c := i.Write10(0, 128)
			i.Send(c, nil)
			sent = append(sent, c)
		}
		synctest.Wait()
		require.LessOrEqual(t, most, 1<<20)
		require.Greater(t, most, 1<<19)
		n := 0
		for n < len(sent) {
			p, _, err := i.Read()
			require.NoError(t, err)
			if q, ok := p.(*pdu.R2T); ok {
				i.Send(i.DataOut(q, 0, 0, true), make([]byte, q.DesiredLength))
				continue
			}
			require.Equal(t, uint8(scsi.Good), p.(*pdu.SCSIResponse).Status)
			n++
		}
		require.LessOrEqual(t, most, 1<<20)
		time.Sleep(10 * time.Second)
		require.Zero(t, r.srv.memory.Load(), "nothing is kept by an idle connection")
	}, func(o *Options) { o.SessionBytes = 1 << 20 })
}

// One command beyond the whole budget runs alone.
func TestCommandBeyondTheBudget(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=65536")
		for range 3 {
			c := i.Read10(0, 1024)
			i.Send(c, nil)
			collectRead(i, c, 65536, 262144)
		}
	}, func(o *Options) { o.SessionBytes = 64 << 10 })
}

// Data that come without being asked for are bounded, too: the initiator hears
// BUSY, and nothing is lost of what it may do next.
func TestUnsolicitedDataBeyondTheBudget(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("InitialR2T=No FirstBurstLength=65536")
		var sent []*pdu.SCSICommand
		for range 30 {
			c := i.Write10(0, 256)
			c.Final = false
			i.Send(c, nil)
			sent = append(sent, c)
		}
		synctest.Wait()
		for c := range r.srv.conns {
			require.LessOrEqual(t, c.busy, 3*c.budget)
		}
		busy := 0
		var data []byte
		for _, c := range sent {
			data = append(data, i.Encode(i.Unsolicited(c.ITT, 0, 0, true), nil, make([]byte, 65536))...)
		}
		go i.Conn.Write(data)
		for n := 0; n < len(sent); {
			p, _, err := i.Read()
			require.NoError(t, err)
			switch p := p.(type) {
			case *pdu.R2T:
				answer := i.Encode(i.DataOut(p, 0, p.BufferOffset, true), nil, make([]byte, p.DesiredLength))
				go i.Conn.Write(answer)
			case *pdu.SCSIResponse:
				n++
				if p.Status == uint8(scsi.Busy) {
					busy++
				} else {
					require.Equal(t, uint8(scsi.Good), p.Status)
				}
			}
		}
		require.NotZero(t, busy)
		require.Less(t, busy, 30)
		r.requireSaw(ReasonNoMemory)
		ping(i)
	}, func(o *Options) { o.SessionBytes = 256 << 10 })
}

// The process's limit holds across sessions, and a small command always gets
// through.
func TestBudgetOfTheProcess(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		var all []*iscsitest.Initiator
		for n := range 8 {
			i := r.connect()
			i.ISID[5] = byte(n)
			i.Login(testTarget, "")
			all = append(all, i)
		}
		refused := 0
		for _, i := range all {
			c := i.Write10(0, 1024) // asks for 512 KiB that never come
			i.Send(c, nil)
			p, _, err := i.Read()
			require.NoError(t, err)
			if a, ok := p.(*pdu.SCSIResponse); ok {
				require.Equal(t, uint8(scsi.Busy), a.Status)
				refused++
			}
		}
		require.Equal(t, 4, refused)
		require.LessOrEqual(t, r.srv.memory.Load(), int64(2<<20))
		for _, i := range all[4:] {
			c := i.Read10(0, 8)
			i.Send(c, nil)
			collectRead(i, c, 8192, 262144)
		}
		for _, i := range all {
			i.Conn.Close()
		}
		synctest.Wait()
		require.Zero(t, r.srv.memory.Load())
	}, func(o *Options) { o.ProcessBytes = 2 << 20 })
}

// When a closed window opens and no response says so, the initiator is told.
func TestClosedWindowReopens(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		kept := pending(r)
		for range 4 {
			i.Send(i.Write10(0, 1), make([]byte, 512))
		}
		require.Len(t, kept(), 4)
		ping(i)
		require.Equal(t, i.ExpCmdSN-1, i.MaxCmdSN, "the window is closed")
		c := i.TestUnitReady()
		i.Send(c, nil)
		i.Silent(time.Second)
		r.requireSaw(ReasonCmdSNOutsideWindow)

		// Somebody else ends the tasks, without a word.
		r.target.Manage(scsi.TaskMgmt{Function: scsi.LogicalUnitReset}, func(scsi.TMFResponse, uint32) {})
		a, _ := iscsitest.Expect[*pdu.NOPIn](i)
		require.Equal(t, pdu.ReservedTag, a.ITT)
		require.Equal(t, pdu.ReservedTag, a.TTT)
		require.False(t, i.MaxCmdSN.Before(i.ExpCmdSN))
		i.Send(c, nil)
		good(i, c)
	}, func(o *Options) { o.QueueDepth = 4 })
}

// Data of small writes that turn out to have to wait are taken out of the
// receive buffer in time.
func TestSmallWriteWaitsWithItsData(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		kept := pending(r)
		first := i.Write10(0, 112)
		i.Send(first, make([]byte, 112*512)) // almost all that the process has
		require.Len(t, kept(), 1)
		waits := i.Write10(9, 24)
		i.Send(waits, pattern(24*512, 9))
		for range 10 { // over the place where it lay
			ping(i)
			i.Send(&pdu.NOPOut{Immediate: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, pattern(10000, 0xff))
			iscsitest.Expect[*pdu.NOPIn](i)
		}
		require.Len(t, kept(), 1)
		r.target.Finish(kept()[0])
		good(i, first)
		require.Len(t, kept(), 2)
		require.Equal(t, pattern(24*512, 9), kept()[1].Out)
		r.target.Finish(kept()[1])
		good(i, waits)
	}, func(o *Options) { o.ProcessBytes = 64 << 10 })
}

// Requests that came before their turn are bounded by the process's limit.
func TestHeldRequestsAreBounded(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0")
		i.Numbered() // never comes
		for range 20 {
			if _, err := i.Conn.Write(i.Encode(i.Write10(0, 64), nil, make([]byte, 64*512))); err != nil {
				break
			}
			synctest.Wait()
			require.LessOrEqual(t, r.srv.memory.Load(), int64(256<<10))
		}
		i.Closed()
		r.requireSaw(ReasonHeldTooMuch)
		require.Zero(t, r.srv.memory.Load())
	}, func(o *Options) { o.ProcessBytes = 256 << 10 })
}
