package verify

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Level says how binding the clause of a case is.
type Level string

// Levels. What a standard demands without a condition is required; what it
// recommends, or makes optional while clusters depend on it, is recommended.
const (
	Required    Level = "required"
	Recommended Level = "recommended"
	Optional    Level = "optional"
)

// Case is one question to a target.
type Case struct {
	ID     string // suite first: pr.register.key-mismatch
	Title  string
	Clause string // where the answer is written
	Demand string // what is written there, in our words
	Level  Level

	Destructive bool // changes reservations or data, or disturbs other initiators
	Nexuses     int  // I_T nexuses at once
	Ports       int  // target ports, if more than one
	Restart     bool // restarts the target

	// noPR marks the cases that make sense for a target without persistent
	// reservations; cases of the suites pr and fencing are skipped there.
	needsPR bool
	// data marks cases that write: they need the range and a medium that can be
	// written.
	data bool
	// onePort marks the cases whose nexuses must use the same target port.
	onePort bool
	// last marks cases that judge what the others brought to light.
	last bool
	run  func(*T)
}

// Suite is the part of the id before the first dot.
func (c Case) Suite() string {
	s, _, _ := strings.Cut(c.ID, ".")
	return s
}

// suites in the order in which they run. A profile replays what one kind of
// cluster sends.
var (
	suites   = []string{"iscsi", "scsi", "pr", "fencing", "durability"}
	profiles = []string{"windows-cluster", "fence-scsi", "mpathpersist", "esxi"}
)

// Suites lists the suites in the order in which they run.
func Suites() []string { return slices.Clone(suites) }

// Profiles lists the profiles.
func Profiles() []string { return slices.Clone(profiles) }

var all []Case

// define adds cases at start-up; the list is not changed afterwards.
func define(cases ...Case) {
	for _, c := range cases {
		if slices.ContainsFunc(all, func(o Case) bool { return o.ID == c.ID }) {
			panic("verify: two cases " + c.ID)
		}
		if !slices.Contains(suites, c.Suite()) && !slices.Contains(profiles, c.Suite()) {
			panic("verify: no suite of case " + c.ID)
		}
		c.Nexuses = max(c.Nexuses, 1)
		all = append(all, c)
	}
}

// Cases lists every case, in the order in which they run.
func Cases() []Case {
	order := slices.Concat(suites, profiles)
	list := slices.Clone(all)
	slices.SortStableFunc(list, func(a, b Case) int {
		if a.last != b.last {
			if a.last {
				return 1
			}
			return -1
		}
		return cmp.Compare(slices.Index(order, a.Suite()), slices.Index(order, b.Suite()))
	})
	return list
}

// Select picks cases. Suites and profiles are added up, globs narrow down what
// they give. Without any, all suites are meant and no profile: a profile asks
// again what the suites ask, in another order.
func Select(suite, profile, globs []string) ([]Case, error) {
	for _, s := range suite {
		if !slices.Contains(suites, s) {
			return nil, fmt.Errorf("no suite %q; there are %s", s, strings.Join(suites, ", "))
		}
	}
	for _, p := range profile {
		if !slices.Contains(profiles, p) {
			return nil, fmt.Errorf("no profile %q; there are %s", p, strings.Join(profiles, ", "))
		}
	}
	wanted := slices.Concat(suite, profile)
	var picked []Case
	used := make([]bool, len(globs))
	for _, c := range Cases() {
		switch {
		case len(wanted) > 0:
			if !slices.Contains(wanted, c.Suite()) {
				continue
			}
		case len(globs) == 0 && !slices.Contains(suites, c.Suite()):
			continue
		}
		hit := len(globs) == 0
		for i, g := range globs {
			ok, err := path.Match(g, c.ID)
			if err != nil {
				return nil, fmt.Errorf("case %q: %w", g, err)
			}
			if ok {
				hit, used[i] = true, true
			}
		}
		if hit {
			picked = append(picked, c)
		}
	}
	for i, g := range globs {
		if !used[i] {
			return nil, fmt.Errorf("no case matches %q; --list shows them", g)
		}
	}
	return picked, nil
}
