package scsi

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// prOut runs PERSISTENT RESERVE OUT at a LUN.
func (c *copyBench) prOut(it *IT, lun uint16, sa pr.Action, typ pr.Type, key, sark uint64) *Task {
	return c.through(it, lun, fmt.Sprintf("%x", prCDB(sa, typ)), prList(key, sark), 0)
}

func (c *copyBench) reserve(it *IT, lun uint16, typ pr.Type, key uint64) {
	require.Equal(c, Good, c.prOut(it, lun, pr.RegisterAndIgnore, 0, 0, key).Status)
	require.Equal(c, Good, c.prOut(it, lun, pr.Reserve, typ, key, 0).Status)
}

// Reads of the source and writes of the destination count as the nexus's own
// at each unit.
func TestCopyObeysBothReservations(t *testing.T) {
	for _, v := range []struct {
		name     string
		lun      uint16
		typ      pr.Type
		from, to int
		good     bool
	}{
		{"source write exclusive", 1, pr.WriteExclusive, 1, 0, true},
		{"source exclusive access", 1, pr.ExclusiveAccess, 1, 0, false},
		{"destination write exclusive", 1, pr.WriteExclusive, 0, 1, false},
		{"destination registrants only", 1, pr.WriteExclusiveRegistrantsOnly, 0, 1, false},
		{"destination exclusive access", 1, pr.ExclusiveAccess, 0, 1, false},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newCopyBench(t, nil)
			c.reserve(c.login("iqn.2026-11.test:holder"), v.lun, v.typ, 0xb)
			list := copyList(1, 0, c.both(), seg{v.from, v.to, 8, 0, 0, 0})
			tokenCDB, token := c.populate(v.from, extent{0, 8})
			if v.good {
				c.good(xcopy(list), list)
				require.Equal(t, Good, tokenCDB.Status)
				require.NoError(t, c.writeToken(v.to, token, 0, extent{0, 8}).Failure)
				return
			}
			c.refused(ErrThirdParty.WithSegment(0), xcopy(list), list)
			if v.to == 1 {
				require.Equal(t, ReservationConflict, c.writeToken(1, token, 0, extent{0, 8}).Status)
			} else {
				require.Equal(t, ReservationConflict, tokenCDB.Status)
			}
			require.Zero(t, c.media[0].writes+c.media[1].writes)
		})
	}
	// The unit that is addressed judges too, though it takes no part.
	c := newCopyBench(t, nil)
	c.reserve(c.login("iqn.2026-11.test:holder"), 0, pr.WriteExclusive, 0xb)
	list := copyList(1, 0, c.both(), seg{1, 1, 8, 0, 100, 0})
	require.Equal(t, ReservationConflict, c.do(xcopy(list), list, 0).Status)
	// A token is no way around the source's reservation.
	c = newCopyBench(t, nil)
	_, token := c.populate(0, extent{0, 8})
	holder := c.login("iqn.2026-11.test:holder")
	c.reserve(holder, 0, pr.ExclusiveAccess, 0xb)
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrThirdParty)
	require.Zero(t, c.media[1].writes)
	c.it = holder
	require.NoError(t, c.writeToken(1, token, 0, extent{0, 8}).Failure)
}

// A fence at either end waits for the piece that is in the medium, and no
// further piece arrives, whatever the storage does by itself.
func TestFenceStopsCopy(t *testing.T) {
	for name, around := range map[string]func(*memMedium) Medium{"buffered": nil, "offloaded": abilities["offloaded"]} {
		for _, sa := range []pr.Action{pr.Preempt, pr.PreemptAndAbort} {
			for _, reserved := range []bool{true, false} {
				if sa == pr.Preempt && !reserved {
					continue // takes no right away
				}
				t.Run(fmt.Sprintf("%s %d %v", name, sa, reserved), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { fenceStopsCopy(t, around, sa, reserved) })
				})
			}
		}
	}
}

func fenceStopsCopy(t *testing.T, around func(*memMedium) Medium, sa pr.Action, reserved bool) {
	c := newCopyBench(t, around)
	for i := range 2 {
		require.NoError(t, c.units[i].Resize(16<<20))
	}
	survivor, victim := c.login("iqn.2026-11.test:s"), c.it
	c.clearUA(victim)
	c.clearUA(survivor)
	require.Equal(t, Good, c.prOut(victim, 1, pr.RegisterAndIgnore, 0, 0, 0xb).Status)
	require.Equal(t, Good, c.prOut(survivor, 1, pr.RegisterAndIgnore, 0, 0, 0xa).Status)
	if reserved {
		require.Equal(t, Good, c.prOut(survivor, 1, pr.Reserve, pr.WriteExclusiveRegistrantsOnly, 0xa, 0).Status)
	}
	hold, writes := make(chan struct{}), 0
	c.media[1].before = func(op string, off, _ int64) {
		if op == "write" || op == "copy" || op == "durable" {
			if writes++; writes == 2 {
				<-hold
			}
		}
	}
	list := copyList(1, 0, c.both(), seg{0, 1, 30000, 0, 0, 0})
	var task *Task
	go func() { task = c.through(victim, 0, xcopy(list), list, 0) }()
	synctest.Wait()
	require.True(t, task == nil)
	var fence *Task
	go func() { fence = c.prOut(survivor, 1, sa, pr.WriteExclusiveRegistrantsOnly, 0xa, 0xb) }()
	synctest.Wait()
	require.True(t, fence == nil, "a piece is in the medium")
	close(hold)
	synctest.Wait()
	require.Equal(t, Good, fence.Status)
	after := bytes.Clone(c.media[1].data)
	synctest.Wait()
	require.NotNil(t, task)
	require.NotEqual(t, Good, task.Status)
	require.ErrorIs(t, task.Failure, ErrThirdParty, "it happened at the other unit")
	require.Equal(t, after, c.media[1].data)
	require.LessOrEqual(t, writes, 2)
	require.Zero(t, c.tasks())
	status := c.through(victim, 0, copyStatus(1), nil, 12)
	require.EqualValues(t, 2, status.In[4], "ended with errors")
}

// An abort at the unit that is addressed ends a copy between two others, and
// one at a unit that takes part ends it even in its only piece.
func TestAbortCopy(t *testing.T) {
	for _, v := range []struct {
		name         string
		lun          uint16
		blocks, most int
	}{{"addressed", 0, 30000, 1}, {"taking part", 1, 8, 1}} {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCopyBench(t, nil)
				require.NoError(t, c.units[1].Resize(32<<20))
				c.clearUA(c.it)
				hold, writes := make(chan struct{}), 0
				c.media[1].before = func(op string, _, _ int64) {
					if op == "write" {
						writes++
						<-hold
					}
				}
				list := copyList(1, 0, c.both(), seg{1, 1, v.blocks, 0, 32000, 0})
				task := &Task{OutLen: uint32(len(list))}
				copy(task.CDB[:], unhex(xcopy(list)))
				over := false
				go func() { run(c.it, task, list); over = true }()
				synctest.Wait()
				done := make(chan TMFResponse, 1)
				c.it.Manage(TaskMgmt{Function: AbortTaskSet, LUN: NewLUN(v.lun)}, func(r TMFResponse, _ uint32) { done <- r })
				synctest.Wait()
				require.Empty(t, done, "a piece is in the medium")
				close(hold)
				require.Equal(t, FunctionComplete, <-done)
				synctest.Wait()
				require.True(t, over)
				require.Equal(t, v.most, writes)
				require.Equal(t, v.lun == 0, task.Aborted)
				if v.lun == 1 {
					require.ErrorIs(t, task.Failure, ErrThirdParty)
				}
			})
		})
	}
}

// Between two pieces the copy is still a task at the other unit: an abort there
// finds it, and nothing of it arrives afterwards.
func TestAbortBetweenPieces(t *testing.T) {
	c := newCopyBench(t, nil)
	for i := range 2 {
		require.NoError(t, c.units[i].Resize(16<<20))
	}
	c.clearUA(c.it)
	x := c.it.view.Load().find(NewLUN(1))
	j := &copyJob{t: &Task{cmd: opcodes[0x83].sas[0], CDB: [16]byte{0x83}, unit: c.units[0], itl: c.it.view.Load().find(0)}}
	_, err := j.copy(side{j.t.itl, 0}, side{x, 0}, 4096, nil)
	require.NoError(t, err)
	require.Len(t, j.guests, 2)
	writes := c.media[1].writes
	d := &drain{left: 1, done: func() {}}
	require.Equal(t, 1, x.abort(func(*Task) bool { return true }, d, false))
	require.Equal(t, 1, d.left, "there is nothing to wait for")
	_, err = j.copy(side{j.t.itl, 0}, side{x, 0}, 4096, nil)
	require.ErrorIs(t, err, errAborted)
	require.Equal(t, writes, c.media[1].writes)
	j.end()
	for _, g := range j.guests {
		require.Equal(t, taskEnded, g.state)
		require.Zero(t, g.itl.listed)
	}
}

// Copies to and fro between two units, and commands that want a range alone,
// never wait for each other in a circle. In a bubble a deadlock is a failure.
func TestCopiesToAndFroDoNotDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopyBench(t, nil)
		a, b := c.units[0], c.units[1]
		near, both := extent{0, 8}, extent{0, 256} // one stripe, and it with the next
		one, two := stripes(0, 1, 9), stripes(128, 1, 9)
		var wg sync.WaitGroup
		start := func(f func()) {
			wg.Go(f)
			synctest.Wait()
		}
		a.ranges.lock(two)
		b.ranges.lock(two)
		start(func() { shareBoth(a, near, b, both)() }) // has its part of a
		start(func() { shareBoth(b, near, a, both)() }) // must not have its part of b
		start(func() { a.ranges.lock(one); a.ranges.unlock(one) })
		start(func() { b.ranges.lock(one); b.ranges.unlock(one) })
		a.ranges.unlock(two)
		b.ranges.unlock(two)
		wg.Wait()
	})
}
