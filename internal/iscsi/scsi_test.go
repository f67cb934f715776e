package iscsi

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/internal/scsi"
)

// slowMedium keeps blocks, and holds up writes of data that begin with 'S'.
type slowMedium struct {
	mu    sync.Mutex
	data  []byte
	gate  chan struct{}
	order []byte // first byte of each write, as it reached the medium
}

func (m *slowMedium) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.data[off:]), nil
}

func (m *slowMedium) WriteAt(p []byte, off int64) (int, error) {
	if p[0] == 'S' {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = append(m.order, p[0])
	return copy(m.data[off:], p), nil
}

func (m *slowMedium) Size() int64 { return int64(len(m.data)) }
func (m *slowMedium) Sync() error { return nil }

func (m *slowMedium) written() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.order)
}

// withSCSI puts the real SCSI layer behind the rig.
func withSCSI(t *testing.T, r *rig) *slowMedium {
	m := &slowMedium{data: make([]byte, 1<<20), gate: make(chan struct{})}
	reservations, err := pr.Open(pr.Config{ID: "x", Store: new(prstore.Mem)})
	require.NoError(t, err)
	u, err := scsi.NewUnit(scsi.UnitConfig{Identity: scsi.Identity{Name: "x", UUID: [16]byte{1}, Serial: "1", Vendor: "T", Product: "T", Revision: "1"}, BlockSize: 512, WriteCache: true}, m, reservations)
	require.NoError(t, err)
	dev := scsi.NewDevice(testTarget, []scsi.Port{{Name: testTarget + ",t,0x0001", Relative: 1, Group: 1}})
	r.attach = func(n scsi.Nexus) (Target, error) { return dev.Attach(n, scsi.LUNMap{0: u}), nil }
	return m
}

// clean takes the unit attentions that a new nexus has.
func clean(i *iscsitest.Initiator) {
	i.T.Helper()
	for range 5 {
		c := i.TestUnitReady()
		i.Send(c, nil)
		a, _ := iscsitest.Expect[*pdu.SCSIResponse](i)
		if a.Status == uint8(scsi.Good) {
			return
		}
	}
	require.Fail(i.T, "unit attentions without end")
}

func fill(b byte) []byte {
	p := make([]byte, 512)
	for i := range p {
		p[i] = b
	}
	return p
}

// A session is reinstated while a write of the old one is stuck in the medium:
// the login succeeds at once, and the retried write lands after the stuck one.
func TestStaleWriteNeverLandsOnAFreshOne(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		m := withSCSI(t, r)
		i := r.login("")
		clean(i)
		i.Send(i.Write10(7, 1), fill('S'))
		time.Sleep(time.Second)

		start := time.Now()
		again := r.login("")
		require.Less(t, time.Since(start), time.Second)
		i.Closed()
		w := again.TestUnitReady() // the nexus loss is reported without waiting
		again.Send(w, nil)
		checkCondition(again, w.ITT, scsi.UANexusLoss)
		w = again.Write10(7, 1)
		again.Send(w, fill('n'))
		again.Silent(3 * time.Second) // behind the stuck one
		ping(again)
		close(m.gate)
		good(again, w)
		require.Equal(t, "Sn", m.written())
		require.Equal(t, byte('n'), m.data[7*512])
	})
}

// After "function complete" no write of the ended tasks is applied.
func TestNoWriteAfterFunctionComplete(t *testing.T) {
	for _, f := range []pdu.TMFFunction{pdu.TMFAbortTask, pdu.TMFAbortTaskSet, pdu.TMFLogicalUnitReset, pdu.TMFTargetWarmReset} {
		t.Run(f.String(), func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				m := withSCSI(t, r)
				i := r.login("")
				clean(i)
				w := i.Write10(7, 1)
				i.Send(w, fill('S'))
				q := i.TMF(f, 0)
				q.RefTaskTag, q.RefCmdSN = w.ITT, w.CmdSN
				i.Send(q, nil)
				i.Silent(3 * time.Second)
				close(m.gate)
				tmfAnswer(i, q, pdu.TMFComplete)
				require.Equal(t, "S", m.written(), "it landed before the answer, not after")
				i.Silent(time.Second)
				clean(i)
				w = i.Write10(7, 1)
				i.Send(w, fill('n'))
				good(i, w)
				require.Equal(t, "Sn", m.written())
			})
		})
	}
}

// TARGET COLD RESET is not complete while a write is in the medium, and after
// it every nexus finds the unit just powered on.
func TestColdResetOfUnits(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		m := withSCSI(t, r)
		i := r.login("")
		i.Send(i.TestUnitReady(), nil)
		checkCondition(i, i.ITT, scsi.UAPowerOn)
		w := i.Write10(0, 1)
		i.Send(w, fill('S'))
		q := i.TMF(pdu.TMFTargetColdReset, 0)
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFRejected) // the write may still land
		close(m.gate)
		i.Silent(time.Second)
		i.Send(i.TestUnitReady(), nil)
		checkCondition(i, i.ITT, scsi.UAReset)

		q = i.TMF(pdu.TMFTargetColdReset, 0)
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFComplete)
		i.Closed()
		i = r.login("")
		i.Send(i.TestUnitReady(), nil)
		checkCondition(i, i.ITT, scsi.UAPowerOn)
	}, func(o *Options) { o.NoPings = true })
}

// A write that waits for its data when it is ended never reaches the medium.
func TestResetEndsWritesThatWaitForData(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		m := withSCSI(t, r)
		i := r.login("ImmediateData=No")
		clean(i)
		other := iscsitest.Connect(t, r.l)
		other.ISID[5]++
		other.Login(testTarget, "")
		clean(other)
		w := i.Write10(7, 1)
		i.Send(w, nil)
		r2t, _ := iscsitest.Expect[*pdu.R2T](i)
		q := other.TMF(pdu.TMFLogicalUnitReset, 0) // by somebody else
		other.Send(q, nil)
		tmfAnswer(other, q, pdu.TMFComplete)
		i.Send(i.DataOut(r2t, 0, 0, true), fill('n'))
		i.Silent(time.Second)
		require.Empty(t, m.written())
		synctest.Wait()
		c := i.TestUnitReady()
		i.Send(c, nil)
		checkCondition(i, c.ITT, scsi.UAReset)
	})
}

// A stuck write of one session holds up neither its own connection nor the
// other sessions.
func TestStuckWriteHoldsUpNobody(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		m := withSCSI(t, r)
		i := r.login("")
		clean(i)
		other := iscsitest.Connect(t, r.l)
		other.ISID[5]++
		other.Login(testTarget, "")
		clean(other)
		stuck := i.Write10(7, 1)
		i.Send(stuck, fill('S'))
		for _, x := range []*iscsitest.Initiator{i, other, i, other} {
			start := time.Now()
			w := x.Write10(8, 1)
			x.Send(w, fill('n'))
			good(x, w)
			c := x.Read10(8, 1)
			x.Send(c, nil)
			got, _ := collectRead(x, c, 8192, 262144)
			require.Equal(t, fill('n'), got)
			ping(x)
			require.Less(t, time.Since(start), time.Second)
		}
		close(m.gate)
		good(i, stuck)
	})
}
