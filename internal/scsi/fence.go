package scsi

import (
	"slices"

	"nas-target/internal/pr"
)

// fence waits until no call of a nexus that lost the right to it is left in
// the medium. The reservation manager calls it after publishing an Access
// that refuses the losers and before saving: from then on nothing of theirs
// enters. Nobody else waits. Reservation commands themselves are left out:
// they are one at a time and never in the medium.
func (u *Unit) fence(before, after *pr.Access) {
	done := make(chan struct{})
	d := &drain{left: 1, done: func() { close(done) }}
	for _, x := range u.live() {
		lost := pr.Lost(before, after, x.it.nexus)
		if lost == 0 {
			continue
		}
		x.drainInto(d, func(t *Task) bool {
			return t.cmd.Flags&Control == 0 && lost.Allows(t.cmd.access(&t.CDB))
		})
	}
	d.leave()
	<-done
}

// carryOut does what a reservation command entails beyond the state itself,
// before it answers: unit attentions, and for PREEMPT AND ABORT the end of the
// victims' tasks. self is the reservation command.
func (u *Unit) carryOut(self *Task, effects []pr.Effect) {
	for _, e := range effects {
		switch e.Kind {
		case pr.RaiseUA:
			ua := reservationUA[e.UA]
			u.eachNexus(e.Nexuses, func(x *itl) { x.raise(ua) })
		case pr.AllowRemoval:
			u.eachNexus(e.Nexuses, func(x *itl) {
				x.mu.Lock()
				x.prevent = false
				x.mu.Unlock()
			})
		case pr.AbortTasks:
			u.abortVictims(self, e.Nexuses)
		}
	}
}

var reservationUA = map[pr.UA]*Check{
	pr.ReservationsPreempted:  UAReservationsPreempted,
	pr.ReservationsReleased:   UAReservationsReleased,
	pr.RegistrationsPreempted: UARegistrationsPreempt,
}

// abortVictims is SPC-4 r37 5.13.11.2.6: every task of the victims but the
// sender itself is aborted, and none of them can change the medium afterwards.
func (u *Unit) abortVictims(self *Task, victims []Nexus) {
	told := u.conf.Load().tas
	done := make(chan struct{})
	d := &drain{left: 1, done: func() { close(done) }}
	u.eachNexus(victims, func(x *itl) {
		own := x.it.nexus == self.itl.it.nexus
		n := x.abort(func(t *Task) bool { return t != self }, d, told && !own)
		if n > 0 && !told && !own {
			x.raise(UACommandsCleared)
		}
		u.events.aborted(u, x.it.nexus, n, "preempt-and-abort")
	})
	d.leave()
	<-done
}

func (u *Unit) eachNexus(ns []Nexus, f func(*itl)) {
	for _, x := range u.live() {
		if slices.Contains(ns, x.it.nexus) {
			f(x)
		}
	}
}
