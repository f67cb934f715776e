package audit

import (
	"maps"
	"slices"
	"time"

	"nas-target/internal/pr"
)

// Origin says which command made something what it is.
type Origin struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	By     Party     `json:"by"`
}

func originOf(e *Entry) Origin { return Origin{e.Seq, e.Time, e.Action, e.By} }

// Origins tells of one unit since when, and by which command, its reservation
// and its registrations stand, and who lost theirs.
type Origins struct {
	Last          Summary // after the last command; zero: none seen
	Reservation   Origin  // zero: unknown, or there is none
	Registrations map[pr.Nexus]Standing
	Departures    []Departure // oldest first, at most maxDepartures; one per nexus
}

// Standing is a registration that stands, and what made it.
type Standing struct {
	Key Key `json:"key"`
	Origin
}

// Departure is a registration that ended.
type Departure struct {
	Right
	Held bool   `json:"held,omitempty"` // it held the reservation
	By   Origin `json:"by"`             // what ended it
}

// maxDepartures bounds what is remembered of nexuses that are registered no
// more: an initiator may come with ever new names.
const maxDepartures = 64

// Registered returns the origin of n's registration.
func (o *Origins) Registered(n pr.Nexus) (Origin, bool) {
	if o == nil {
		return Origin{}, false
	}
	s, ok := o.Registrations[n]
	return s.Origin, ok
}

// Departed returns how n's last registration ended, unless it registered again.
func (o *Origins) Departed(n pr.Nexus) (Departure, bool) {
	if o == nil {
		return Departure{}, false
	}
	for _, d := range slices.Backward(o.Departures) {
		if d.nexus() == n {
			return d, true
		}
	}
	return Departure{}, false
}

// note takes one granted reservation entry into account.
func (o *Origins) note(e *Entry) {
	if e.PR == nil || e.Result != Granted {
		return
	}
	if e.PR.After.Condition != "" { // what stands is not known now, which is not to say that it is gone
		o.Last.Condition = e.PR.After.Condition
		return
	}
	at := originOf(e)
	o.Last = e.PR.After
	if e.PR.Before.Condition == pr.InformationLost.String() { // it ended without being named
		o.Registrations = nil
	}
	held := e.PR.Before.Holder
	for _, r := range e.PR.Removed {
		n := r.nexus()
		delete(o.Registrations, n)
		o.forget(n)
		if len(o.Departures) == maxDepartures {
			o.Departures = slices.Delete(o.Departures, 0, 1)
		}
		o.Departures = append(o.Departures, Departure{Right: r, Held: held != nil && held.nexus() == n, By: at})
	}
	for _, list := range [2][]Right{e.PR.Added, e.PR.Changed} {
		for _, r := range list {
			if o.Registrations == nil {
				o.Registrations = map[pr.Nexus]Standing{}
			}
			o.Registrations[r.nexus()] = Standing{r.Key, at}
			o.forget(r.nexus())
		}
	}
	switch before, after := e.PR.Before, e.PR.After; {
	case after.Type == "":
		o.Reservation = Origin{}
	case before.Type != after.Type, !sameHolder(before.Holder, after.Holder):
		o.Reservation = at
	}
}

func (o *Origins) forget(n pr.Nexus) {
	o.Departures = slices.DeleteFunc(o.Departures, func(d Departure) bool { return d.nexus() == n })
}

func sameHolder(a, b *Right) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.nexus() == b.nexus()
}

// clone returns a copy that note does not touch.
func (o *Origins) clone() *Origins {
	if o == nil {
		return nil
	}
	c := *o
	c.Registrations = maps.Clone(o.Registrations)
	c.Departures = slices.Clone(o.Departures)
	return &c
}
