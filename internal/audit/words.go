package audit

import (
	"fmt"
	"strings"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/pr"
)

// Words tells e in one line: who did what to which LUN, and what came of it.
// It holds no control character, whatever names the initiators chose.
func Words(e Entry) string {
	switch {
	case e.Kind == KindLost:
		return fmt.Sprintf("%d entries of this trail were lost: they came faster than they could be written", e.Lost)
	case e.Kind == KindPR && e.PR != nil:
		return prWords(e)
	}
	return otherWords(e)
}

// Actions of logins and operators.
const (
	ActionLogin        = "login"
	ActionSessionEnd   = "session-end"
	ActionKill         = "kill-session"
	ActionClear        = "clear"
	ActionClearFailure = "clear-failure"
	ActionResize       = "resize"
	ActionLogLevel     = "log-level"
	ActionRetry        = "retry"
	ActionConfigure    = "configure"
	ActionStart        = "start"
)

// actionWords has each of them in the past, and as what was refused.
var actionWords = map[string][2]string{
	ActionLogin:        {"logged in", "a login"},
	ActionSessionEnd:   {"left", "leaving"},
	ActionKill:         {"killed a session", "killing a session"},
	ActionClear:        {"cleared the reservations of", "clearing the reservations of"},
	ActionClearFailure: {"cleared the failure of", "clearing the failure of"},
	ActionResize:       {"resized", "resizing"},
	ActionLogLevel:     {"set the log level", "setting the log level"},
	ActionRetry:        {"opened", "opening"},
	ActionConfigure:    {"changed the configuration", "changing the configuration"},
	ActionStart:        {"started", "starting"},
}

func otherWords(e Entry) string {
	did, ok := actionWords[e.Action]
	if !ok {
		did = [2]string{plain.Text(e.Action), plain.Text(e.Action)}
	}
	w := e.By.Who() + " " + did[0]
	if e.Result != Granted {
		w = e.By.Who() + " was refused " + did[1]
	}
	if e.LUN != "" {
		w += " " + e.LUN
	}
	why := e.Detail
	if why == "" {
		why = e.Reason
	}
	if why != "" {
		w += ": " + why
	}
	return w
}

// Who names p as people do: by its host.
func (p Party) Who() string {
	switch {
	case p.Operator != "":
		return "operator " + p.Operator
	case p.Initiator != "":
		return Host(p.Initiator)
	case p.Peer != "":
		return p.Peer
	}
	return "nas-target"
}

func prWords(e Entry) string {
	if e.Result != Granted {
		return refusedWords(e)
	}
	w := e.By.Who() + " " + didWords(e)
	if d := e.PR.Drain; d >= time.Millisecond {
		w += fmt.Sprintf(", after waiting %v for the others' I/O", d.Round(time.Millisecond))
	}
	return w
}

func didWords(e Entry) string {
	p, lun := e.PR, e.LUN
	switch e.Action {
	case pr.Register.String(), pr.RegisterAndIgnore.String():
		switch {
		case len(p.Removed) > 0:
			return "gave up its registration on " + lun + p.lostReservation()
		case len(p.Changed) > 0:
			return fmt.Sprintf("changed its key on %s to %v", lun, p.ServiceKey)
		case p.SpecIPt:
			return fmt.Sprintf("registered key %v on %s for %s", p.ServiceKey, lun, listRights(p.Added))
		case len(p.Added) > 1:
			return fmt.Sprintf("registered key %v on %s at %d target ports", p.ServiceKey, lun, len(p.Added))
		case len(p.Added) == 1:
			return fmt.Sprintf("registered key %v on %s", p.ServiceKey, lun)
		}
		return "confirmed its registration on " + lun
	case pr.Reserve.String():
		if p.Before.Type != "" {
			return "confirmed its reservation of " + lun
		}
		return "reserved " + lun + ", " + p.After.Type
	case pr.Release.String():
		if p.Before.Type == p.After.Type {
			return "released " + lun + ", which it did not hold"
		}
		return "released " + lun
	case pr.Clear.String(), pr.OperatorClear.String():
		return "cleared " + lun + ": " + p.gone()
	case pr.Preempt.String():
		return fmt.Sprintf("preempted key %v on %s: %s", p.ServiceKey, lun, p.gone())
	case pr.PreemptAndAbort.String():
		return fmt.Sprintf("preempted key %v on %s and aborted its commands: %s", p.ServiceKey, lun, p.gone())
	case pr.RegisterAndMove.String():
		to := "another port"
		if p.After.Holder != nil {
			to = Host(p.After.Holder.Initiator)
		}
		return "moved the reservation of " + lun + " to " + to
	case pr.ReplaceLostReservation.String():
		return "replaced the lost reservation of " + lun
	case pr.LegacyReserve.String():
		return "reserved " + lun + " the SPC-2 way"
	case pr.LegacyRelease.String():
		return "released its SPC-2 reservation of " + lun
	case pr.NexusLoss.String():
		return "left, and with it its SPC-2 reservation of " + lun
	case pr.LUReset.String():
		return "reset " + lun + ", which ended the SPC-2 reservation"
	case pr.PowerCycle.String(), ActionRestart:
		switch {
		case p.After.Condition != "":
			return "found the reservations of " + lun + " after a restart: " + conditionWords[p.After.Condition]
		case p.Before.Condition != "" && len(p.Removed) == 0:
			return "found the reservations of " + lun + " after a restart: they can be read again"
		}
		return "found the reservations of " + lun + " after a restart: " + p.gone()
	}
	return plain.Text(e.Action) + " on " + lun
}

var conditionWords = map[string]string{
	pr.InformationLost.String(): "they are lost, and every command is refused",
	pr.NotReady.String():        "they cannot be read, and every command is refused",
}

// gone tells what a command took away, and who holds the reservation now.
func (p *PR) gone() string {
	var parts []string
	if len(p.Removed) > 0 {
		parts = append(parts, listRights(p.Removed)+" lost "+plural(len(p.Removed), "registration", "registrations"))
	}
	switch {
	case p.After.Holder != nil && !sameHolder(p.Before.Holder, p.After.Holder):
		parts = append(parts, Host(p.After.Holder.Initiator)+" holds it now, "+p.After.Type)
	case p.Before.Type != "" && p.After.Type == "":
		parts = append(parts, "the reservation is gone")
	case p.Before.Type != p.After.Type:
		parts = append(parts, "the reservation is "+p.After.Type+" now")
	}
	if len(parts) == 0 {
		return "nobody lost a right"
	}
	return strings.Join(parts, "; ")
}

func (p *PR) lostReservation() string {
	if p.Before.Type != "" && p.After.Type == "" {
		return ", and with it the reservation"
	}
	return ""
}

// maxNames bounds how many machines one line names.
const maxNames = 4

// listRights names the machines behind rs, each once.
func listRights(rs []Right) string {
	var names []string
	seen := map[string]bool{}
	for _, r := range rs {
		if h := Host(r.Initiator); !seen[h] {
			seen[h] = true
			names = append(names, h)
		}
	}
	if more := len(names) - maxNames; more > 0 {
		return strings.Join(names[:maxNames], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "its " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Spelled writes an action as the standard does.
func Spelled(action string) string {
	return strings.ToUpper(strings.ReplaceAll(plain.Text(action), "-", " "))
}

func refusedWords(e Entry) string {
	w := fmt.Sprintf("%s was refused %s on %s: ", e.By.Who(), Spelled(e.Action), e.LUN)
	why, ok := reasonWords[pr.Reason(e.Reason)]
	if !ok {
		why = plain.Text(e.Result)
	}
	if e.Reason == string(pr.ReasonNotHolder) && e.PR.Before.Holder != nil {
		why = "it is held by " + Host(e.PR.Before.Holder.Initiator)
	}
	w += why
	if e.Detail != "" {
		w += " (" + e.Detail + ")"
	}
	return w
}

// reasonWords says in words why a reservation command was refused.
var reasonWords = map[pr.Reason]string{
	pr.ReasonServiceAction:   "there is no such service action",
	pr.ReasonNotReady:        "the reservation information cannot be read now",
	pr.ReasonLost:            "the reservation information is lost",
	pr.ReasonNotLost:         "the reservation information is not lost",
	pr.ReasonLegacyHeld:      "another initiator holds an SPC-2 reservation",
	pr.ReasonRegistered:      "persistent registrations exist, which exclude SPC-2 reservations",
	pr.ReasonListLength:      "its parameter list has the wrong length",
	pr.ReasonNotRegistered:   "it is not registered",
	pr.ReasonKey:             "its key is not the registered one",
	pr.ReasonKeyNotZero:      "it is not registered, so its key had to be zero",
	pr.ReasonNotHolder:       "it is held by another",
	pr.ReasonOtherType:       "it is held with another type",
	pr.ReasonAllRegistrants:  "a reservation of all registrants cannot be moved",
	pr.ReasonNothingToMove:   "there is no reservation to move",
	pr.ReasonScope:           "the scope is not the logical unit",
	pr.ReasonType:            "there is no such reservation type",
	pr.ReasonSpecIPt:         "SPEC_I_PT is not allowed there",
	pr.ReasonAllTgPt:         "ALL_TG_PT is not allowed there",
	pr.ReasonServiceKeyZero:  "the key to act on is zero",
	pr.ReasonNoVictim:        "nobody is registered with the key to preempt",
	pr.ReasonReleaseMismatch: "the reservation has another scope or type",
	pr.ReasonTransportID:     "a TransportID in its list is invalid",
	pr.ReasonOwnPort:         "the reservation cannot be moved to its own port",
	pr.ReasonPortName:        "a port name in its list is not an iSCSI name",
	pr.ReasonRelativePort:    "there is no target port with that number",
	pr.ReasonPortRegistered:  "a port in its list is registered already",
	pr.ReasonFull:            "there is no room for more registrations",
	pr.ReasonStoreFull:       "there is no space to save it",
	pr.ReasonStoreFailed:     "it could not be saved",
	pr.ReasonStoreStale:      "another daemon changed the saved reservations",
}
