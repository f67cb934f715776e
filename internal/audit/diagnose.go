package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/pr"
)

// Live is a session that is logged in and sees the unit.
type Live struct {
	pr.Nexus
	Conflicts uint64 // its commands at this unit that ended with RESERVATION CONFLICT
}

// Finding is something about a unit's reservations that people should know.
type Finding struct {
	Code     Code
	Severity Severity
	Nexus    pr.Nexus // whom it is about, shown form; zero: the unit as a whole
	Text     string   // what is so, in one sentence
	Advice   string   // what can be done; "" if nothing needs to be
	At       time.Time
	By       string // who caused it, if the trail knows
	More     int    // how many this one stands for, if it is the last of many
}

// Severity ranks findings.
type Severity string

const (
	Critical Severity = "critical" // the disk cannot be used as the cluster wants
	Warning  Severity = "warning"  // a machine is not in the state it seems to be in
	Info     Severity = "info"     // good to know
)

// Code names a finding. Metrics, API and tests share it.
type Code string

const (
	InformationLost    Code = "information_lost"
	InformationUnread  Code = "information_not_ready"
	HolderGone         Code = "holder_without_session"
	HolderOtherISID    Code = "holder_under_other_isid"
	NobodyWrites       Code = "nobody_may_write"
	NoSession          Code = "registered_without_session"
	OtherISID          Code = "registered_under_other_isid"
	Preempted          Code = "preempted"
	NotRegistered      Code = "not_registered"
	PathNotRegistered  Code = "path_not_registered"
	Conflicts          Code = "conflicts"
	LegacyHeld         Code = "legacy_reservation"
	SharedKey          Code = "shared_key"
	EndsWithPowerCycle Code = "not_durable"
)

// Codes lists every Code.
var Codes = [...]Code{
	InformationLost, InformationUnread, HolderGone, HolderOtherISID, NobodyWrites, NoSession, OtherISID,
	Preempted, NotRegistered, PathNotRegistered, Conflicts, LegacyHeld, SharedKey, EndsWithPowerCycle,
}

// maxPerCode bounds the findings of one code: a thousand machines with one
// trouble are one trouble.
const maxPerCode = 16

// Diagnose explains a reservation state by the sessions that live now and by
// what the trail knows. The gravest findings come first. o may be nil.
func Diagnose(s pr.State, live []Live, o *Origins) []Finding {
	if s.Condition != pr.Normal {
		return []Finding{unknownState(s.Condition)}
	}
	d := diagnosis{
		state: s, origins: o, access: pr.NewAccess(s),
		live: map[pr.Nexus]bool{}, registered: map[pr.Nexus]bool{}, sessions: map[string][]Live{}, ports: map[string]int{},
	}
	for _, l := range live {
		d.live[l.Nexus] = true
		d.sessions[pr.Node(l.Initiator)] = append(d.sessions[pr.Node(l.Initiator)], l)
	}
	for _, r := range s.Registrations {
		d.registered[r.Nexus] = true
		if d.live[r.Nexus] {
			d.ports[pr.Node(r.Initiator)]++
		}
	}
	d.holder()
	d.writers(live)
	d.registrations()
	d.bystanders(live)
	d.keys()
	d.durability()
	return d.sorted()
}

// diagnosis is one run of Diagnose.
type diagnosis struct {
	state      pr.State
	origins    *Origins
	access     *pr.Access
	live       map[pr.Nexus]bool
	registered map[pr.Nexus]bool
	sessions   map[string][]Live // by node name
	ports      map[string]int    // live registered nexuses, by node name

	found []Finding
}

func (d *diagnosis) add(f Finding) {
	f.Nexus = Shown(f.Nexus)
	d.found = append(d.found, f)
}

// Shown is n as the trail and Origins write it: fit to be shown.
func Shown(n pr.Nexus) pr.Nexus {
	return pr.Nexus{Initiator: plain.Text(n.Initiator), Target: plain.Text(n.Target)}
}

func machine(port string) string { return plain.Text(Host(port)) }

func unknownState(c pr.Condition) Finding {
	if c == pr.InformationLost {
		return Finding{Code: InformationLost, Severity: Critical,
			Text:   "The saved reservations cannot be trusted. Every command is refused, so that nobody fenced can write.",
			Advice: "Make sure that one machine alone uses the disk, then clear the reservations; or let an initiator send REPLACE LOST RESERVATION."}
	}
	return Finding{Code: InformationUnread, Severity: Critical,
		Text:   "The saved reservations cannot be read now. Commands are refused until they can.",
		Advice: "See the log for the error of the data directory; the daemon goes on trying."}
}

// holder looks at who holds the reservation.
func (d *diagnosis) holder() {
	t, h := d.state.Reservation.Type, d.state.Reservation.Holder
	if d.state.Legacy != (pr.Nexus{}) {
		d.add(Finding{Code: LegacyHeld, Severity: Info, Nexus: d.state.Legacy,
			Text: machine(d.state.Legacy.Initiator) + " holds an SPC-2 reservation: commands of all others are refused until it releases, leaves or is reset."})
	}
	if t == 0 || t.AllRegistrants() || d.live[h] {
		return
	}
	if l, ok := d.successor(h); ok {
		d.add(Finding{Code: HolderOtherISID, Severity: Critical, Nexus: h,
			Text: fmt.Sprintf("%s holds the reservation from ISID %s, but its session is %s: it cannot release what it holds.",
				machine(h.Initiator), isid(h), isid(l.Nexus)),
			Advice: "Let it register again and preempt its old key, or let another registered machine preempt it."})
		return
	}
	if d.ports[pr.Node(h.Initiator)] > 0 {
		d.add(Finding{Code: HolderGone, Severity: Warning, Nexus: h,
			Text: fmt.Sprintf("%s holds the reservation through ISID %s, a path without a session; its other paths are registered.",
				machine(h.Initiator), isid(h)),
			Advice: "The machine can take it over with a PREEMPT of its own key through a path that is up."})
		return
	}
	d.add(Finding{Code: HolderGone, Severity: Warning, Nexus: h,
		Text:   machine(h.Initiator) + " holds the reservation and has no session.",
		Advice: "It keeps the reservation until it comes back with the same ISID, or until a registered machine preempts it."})
}

func isid(n pr.Nexus) string { return plain.Text(ISID(n.Initiator)) }

// successor finds a live session of the same machine that came with another
// ISID and is not registered: an initiator that forgot the ISID it had.
func (d *diagnosis) successor(n pr.Nexus) (Live, bool) {
	var found Live
	ok := false
	for _, l := range d.sessions[pr.Node(n.Initiator)] {
		if l.Initiator == n.Initiator || d.registered[l.Nexus] || pr.Node(l.Target) != pr.Node(n.Target) {
			continue
		}
		if !ok || l.Target == n.Target {
			found, ok = l, true
		}
	}
	return found, ok
}

// writers sees whether anybody at all may write.
func (d *diagnosis) writers(live []Live) {
	if d.state.Reservation.Type == 0 || len(live) == 0 {
		return
	}
	for _, l := range live {
		if d.access.Rights(l.Nexus).Allows(pr.Write) {
			return
		}
	}
	d.add(Finding{Code: NobodyWrites, Severity: Critical,
		Text:   "No session that is logged in may write to this disk.",
		Advice: "A machine that should use it has to register and preempt the reservation; clearing it here lets everybody write."})
}

// registrations looks for those that nobody uses.
func (d *diagnosis) registrations() {
	seen := map[string]bool{} // machines already told about
	for _, r := range d.state.Registrations {
		node := pr.Node(r.Initiator)
		if d.live[r.Nexus] || seen[node] || d.state.Reservation.Type != 0 && r.Nexus == d.state.Reservation.Holder {
			continue
		}
		seen[node] = true
		at, _ := d.origins.Registered(Shown(r.Nexus))
		if l, ok := d.successor(r.Nexus); ok {
			d.add(Finding{Code: OtherISID, Severity: Warning, Nexus: r.Nexus, At: at.Time,
				Text: fmt.Sprintf("%s is registered, but from ISID %s; its session is %s, which is not registered.",
					machine(node), isid(r.Nexus), isid(l.Nexus)),
				Advice: "Let it register again. Keep the initiator's ISID fixed over logins if it can be."})
			continue
		}
		f := Finding{Code: NoSession, Severity: Warning, Nexus: r.Nexus, At: at.Time,
			Text: machine(node) + " is registered and has no session."}
		if d.ports[node] > 0 {
			f.Severity = Info
			f.Text = fmt.Sprintf("%s has a registration from ISID %s without a session, beside others in use: a path that is down, or a leftover.",
				machine(node), isid(r.Nexus))
		}
		d.add(f)
	}
}

// bystanders looks at sessions that are not registered while a reservation
// stands, and at those that were refused. A machine with many paths is told of
// once.
func (d *diagnosis) bystanders(live []Live) {
	out := map[string]*outsider{} // by node name
	var order []string
	for _, l := range live {
		node := pr.Node(l.Initiator)
		switch {
		case d.registered[l.Nexus] || d.access.Rights(l.Nexus).Allows(pr.Write):
			if l.Conflicts > 0 {
				d.add(Finding{Code: Conflicts, Severity: Info, Nexus: l.Nexus,
					Text: fmt.Sprintf("%d commands of %s were refused by reservation conflict since it logged in.", l.Conflicts, machine(node))})
			}
			continue
		case d.state.Legacy != (pr.Nexus{}):
			continue // told by holder
		case out[node] == nil:
			out[node] = &outsider{}
			order = append(order, node)
		}
		o := out[node]
		o.conflicts += l.Conflicts
		o.nexuses = append(o.nexuses, l.Nexus)
		if gone, ok := d.origins.Departed(Shown(l.Nexus)); ok && taken(gone) && (o.victim == nil || gone.By.Seq > o.victim.By.Seq) {
			o.victim = &gone
		}
	}
	for _, node := range order {
		d.add(d.outsider(machine(node), d.ports[node] > 0, out[node]))
	}
}

// outsider is a machine with sessions that may not write.
type outsider struct {
	nexuses   []pr.Nexus // of those sessions
	conflicts uint64
	victim    *Departure // the last of them that was preempted
}

func (d *diagnosis) outsider(name string, registeredElsewhere bool, o *outsider) Finding {
	refused := ""
	if o.conflicts > 0 {
		refused = fmt.Sprintf(" %d of its commands were refused.", o.conflicts)
	}
	switch {
	case o.victim != nil:
		by := o.victim.By
		return Finding{Code: Preempted, Severity: Warning, Nexus: o.victim.nexus(), At: by.Time, By: by.By.Who(),
			Text:   fmt.Sprintf("%s lost its registration to a %s of %s and may not write.%s", name, Spelled(by.Action), by.By.Who(), refused),
			Advice: "That is fencing at work. Let the cluster software bring it back: it registers again when it may."}
	case registeredElsewhere:
		f := Finding{Code: PathNotRegistered, Severity: Info, Nexus: o.nexuses[0],
			Text: fmt.Sprintf("%s is registered through another path, but not from %s: writes on such a path are refused.%s", name, isids(o.nexuses), refused),
		}
		if o.conflicts > 0 {
			f.Severity = Warning
			f.Advice = "Register every path (multipath: set reservation_key and use mpathpersist)."
		}
		return f
	}
	return Finding{Code: NotRegistered, Severity: Info, Nexus: o.nexuses[0], Text: fmt.Sprintf("%s is not registered and may not write.%s", name, refused)}
}

// isids names the ISIDs of a few paths.
func isids(ns []pr.Nexus) string {
	const most = 3
	text := "ISID " + isid(ns[0])
	for i, n := range ns[1:] {
		if i+1 == most {
			return text + fmt.Sprintf(" and %d more", len(ns)-most)
		}
		text += ", " + isid(n)
	}
	return text
}

// taken reports whether a registration was taken away by somebody else.
func taken(d Departure) bool {
	return d.By.By.Initiator != d.Initiator || d.By.By.Target != d.Target
}

// keys looks for machines that share a key: a PREEMPT of it removes them all.
func (d *diagnosis) keys() {
	nodes := map[pr.Key]string{}
	told := map[pr.Key]bool{}
	for _, r := range d.state.Registrations {
		first, ok := nodes[r.Key]
		if !ok {
			nodes[r.Key] = pr.Node(r.Initiator)
			continue
		}
		if first == pr.Node(r.Initiator) || told[r.Key] {
			continue
		}
		told[r.Key] = true
		d.add(Finding{Code: SharedKey, Severity: Info,
			Text: fmt.Sprintf("%s and %s are registered with the same key %v: preempting it takes the rights of both.",
				machine(first), machine(r.Initiator), r.Key)})
	}
}

// durability tells what a power cycle would take.
func (d *diagnosis) durability() {
	if d.state.APTPL || len(d.state.Registrations) == 0 {
		return
	}
	d.add(Finding{Code: EndsWithPowerCycle, Severity: Info,
		Text: "A power cycle of this host ends the registrations: they were made without APTPL. A restart of the daemon does not."})
}

// sorted returns the findings, gravest first, and at most maxPerCode of a code.
func (d *diagnosis) sorted() []Finding {
	rank := map[Severity]int{Critical: 0, Warning: 1, Info: 2}
	slices.SortStableFunc(d.found, func(a, b Finding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	n := map[Code]int{}
	for _, f := range d.found {
		n[f.Code]++
	}
	out := d.found[:0:0]
	told := map[Code]int{}
	for _, f := range d.found {
		told[f.Code]++
		switch more := n[f.Code] - maxPerCode; {
		case told[f.Code] <= maxPerCode:
			out = append(out, f)
		case told[f.Code] == maxPerCode+1:
			out = append(out, Finding{Code: f.Code, Severity: f.Severity, Text: fmt.Sprintf("The same is true of %d more.", more), More: more})
		}
	}
	return out
}
