package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Overview is the state of things in one screen.
type Overview struct {
	Time     time.Time `json:"time"`
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	DataDir  string    `json:"data_dir"`
	Ready    bool      `json:"ready" doc:"every configured LUN and portal is served"`
	Health   Health    `json:"health" enum:"ok,warning,critical"`
	Problems []Problem `json:"problems" doc:"gravest first"`
	Portals  []Portal  `json:"portals"`
	LUNs     []LUN     `json:"luns"`
	Targets  int       `json:"targets"`
	Sessions int       `json:"sessions"`
	Commands int       `json:"commands" doc:"under way"`
	Oldest   *Waiting  `json:"oldest,omitempty" doc:"the command that is under way longest"`
	Work     []Work    `json:"work,omitempty" doc:"what takes long and is under way"`
}

// Waiting is a command under way, and whose it is.
type Waiting struct {
	Session string `json:"session"`
	Host    string `json:"host"`
	Command
}

// Health is the worst of the problems.
type Health string

const (
	HealthOK       Health = "ok"
	HealthWarning  Health = "warning"
	HealthCritical Health = "critical"
)

func overview(s Status) Overview {
	o := Overview{
		Time: s.Time, Version: s.Version, PID: s.PID, Started: s.Started, DataDir: s.DataDir, Ready: s.Ready,
		Health: HealthOK, Work: s.Work, Problems: problems(s), Portals: s.Portals, LUNs: luns(s), Targets: len(s.Targets), Sessions: len(s.Sessions),
	}
	for i := range s.Sessions {
		x := &s.Sessions[i]
		o.Commands += x.Commands
		if x.Oldest != nil && (o.Oldest == nil || x.Oldest.Seconds > o.Oldest.Seconds) {
			o.Oldest = &Waiting{x.ID, x.Host, *x.Oldest}
		}
	}
	for _, p := range o.Problems {
		switch p.Severity {
		case Critical:
			o.Health = HealthCritical
		case Warning:
			if o.Health == HealthOK {
				o.Health = HealthWarning
			}
		}
	}
	return o
}

// luns lists the LUNs of all targets, each with the outline of its reservations.
func luns(s Status) []LUN {
	all := []LUN{}
	for _, t := range s.Targets {
		for _, l := range t.LUNs {
			l.Reservation = l.Reservations.Outline()
			all = append(all, l)
		}
	}
	return all
}

// Outline returns r without its lists.
func (r Reservations) Outline() Outline {
	return Outline{
		Condition: r.Condition, Generation: r.Generation, APTPL: r.APTPL, Registrations: len(r.Registrations),
		Type: r.Type, Holder: r.Holder, HolderHost: r.HolderHost,
	}
}

const (
	// slowCommand is where a command under way becomes a problem: initiators
	// begin to give up at about this age.
	slowCommand = 30 * time.Second
	// maxSlow bounds the sessions named for it.
	maxSlow = 8
)

// problems collects what is wrong, gravest first.
func problems(s Status) []Problem {
	all := slices.Clone(s.Problems)
	for _, p := range s.Portals {
		if p.Error != "" {
			all = append(all, Problem{Severity: Critical, Code: "portal_down", Subject: p.Address,
				Text: fmt.Sprintf("Portal %s is not served: %s.", p.Address, p.Error)})
		}
	}
	for _, t := range s.Targets {
		if t.Access == "open" {
			all = append(all, Problem{Severity: Info, Code: "open_access", Subject: t.Name,
				Text: "Whoever reaches a portal of " + t.Name + " may log in: access is open."})
		}
		for _, l := range t.LUNs {
			switch {
			case l.Absent:
				all = append(all, Problem{Severity: Critical, Code: "lun_absent", Subject: l.Name,
					Text:   fmt.Sprintf("%s cannot be opened and is not ready: %s.", l.Name, l.Failure),
					Advice: "Mend what is behind it, then run: nas-target lun retry " + l.Name})
			case l.Failure != "":
				all = append(all, Problem{Severity: Critical, Code: "lun_failed", Subject: l.Name,
					Text:   fmt.Sprintf("%s refuses writes: %s.", l.Name, l.Failure),
					Advice: "Repair the storage behind it, check the data, then run: nas-target lun clear-failure " + l.Name})
			}
			for _, f := range l.Reservations.Findings {
				if f.Severity != Info {
					f.Subject, f.Text = l.Name, l.Name+": "+f.Text
					all = append(all, f)
				}
			}
		}
	}
	all = append(all, slow(s.Sessions)...)
	sortProblems(all)
	if all == nil {
		all = []Problem{}
	}
	return all
}

func sortProblems(ps []Problem) {
	rank := map[Severity]int{Critical: 0, Warning: 1, Info: 2}
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
}

func slow(sessions []Session) []Problem {
	var late []Session
	for _, x := range sessions {
		if x.Oldest != nil && x.Oldest.Seconds >= slowCommand.Seconds() {
			late = append(late, x)
		}
	}
	slices.SortFunc(late, func(a, b Session) int { return cmp.Compare(b.Oldest.Seconds, a.Oldest.Seconds) })
	var ps []Problem
	for i, x := range late {
		if i == maxSlow {
			ps = append(ps, Problem{Severity: Warning, Code: "command_stuck",
				Text: fmt.Sprintf("The same is true of %d more sessions.", len(late)-maxSlow)})
			break
		}
		ps = append(ps, Problem{Severity: Warning, Code: "command_stuck", Subject: x.ID,
			Text:   fmt.Sprintf("%s has waited %.0f s for %s on LUN %d.", x.Host, x.Oldest.Seconds, x.Oldest.Name, x.Oldest.LUN),
			Advice: "See whether the storage behind the LUN answers. nas-target session kill " + x.ID + " ends the session."})
	}
	return ps
}
