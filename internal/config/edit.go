package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Verb is what an Edit does.
type Verb string

// Verbs. Set changes the keys that are given, and takes away those that are
// null.
const (
	Create Verb = "create"
	Set    Verb = "set"
	Delete Verb = "delete"
)

// Noun is what an Edit is about.
type Noun string

// Nouns.
const (
	Targets    Noun = "target"
	LUNs       Noun = "LUN"
	Initiators Noun = "initiator"
	Portals    Noun = "portal"
)

// Edit changes one thing that operators made.
type Edit struct {
	Verb   Verb
	Noun   Noun
	Name   string         // of a portal: its address
	Target string         // of an initiator, and of a LUN that is created
	Keys   map[string]any // as in the file, apart from the name
}

// Why an edit is refused.
var (
	ErrUnknown = errors.New("there is no such thing")
	ErrTaken   = errors.New("exists already")
	// ErrOperators: it stands in the operator's file, which is not written to.
	ErrOperators = errors.New("stands in the configuration file: change it there")
	ErrInUse     = errors.New("is not empty")
)

// With returns m with an edit made, given that it is a part of c. Whether the
// whole is still valid is for Merge to say.
func (m *Managed) With(e Edit, c *Config) (*Managed, error) {
	next := &Managed{}
	if m != nil {
		next.Portals, next.Targets, next.Additions = slices.Clone(m.Portals), copies(m.Targets), copies(m.Additions)
	}
	var err error
	switch e.Noun {
	case Targets:
		err = next.editTarget(e, c)
	case LUNs:
		err = next.editLUN(e, c)
	case Initiators:
		err = next.editInitiator(e, c)
	case Portals:
		err = next.editPortal(e, c)
	default:
		err = fmt.Errorf("%s: %w", e.Noun, ErrUnknown)
	}
	var inside *Error
	if err != nil && !errors.As(err, &inside) {
		err = fmt.Errorf("%s %s: %w", e.Noun, e.Name, err)
	}
	next.Additions = slices.DeleteFunc(next.Additions, func(t Target) bool { return len(t.LUNs)+len(t.Initiators) == 0 })
	return next, err
}

func copies(all []Target) []Target {
	all = slices.Clone(all)
	for i := range all {
		all[i].LUNs, all[i].Initiators = slices.Clone(all[i].LUNs), slices.Clone(all[i].Initiators)
	}
	return all
}

// edited returns what x becomes: new for a creation, changed by the keys
// otherwise. nest puts the keys where they stand in a managed file, and take
// takes the result out of it.
func edited[T any](e Edit, x *T, name map[string]any, nest func(keys map[string]any) map[string]any, take func(*Managed) T) (T, error) {
	keys := map[string]any{}
	if x != nil {
		text, err := YAML(x)
		if err == nil {
			err = yaml.Unmarshal(text, &keys)
		}
		if err != nil {
			return *new(T), err
		}
	}
	overlay(keys, e.Keys)
	maps.Copy(keys, name)
	text, err := json.Marshal(nest(keys)) // which is YAML
	if err != nil {
		return *new(T), err
	}
	var problems []Problem
	m := &Managed{}
	readInto(Source{"request", text}, reflect.TypeFor[Managed](), func(b []byte) error { return decodeManaged(b, m) }, &problems)
	if len(problems) > 0 {
		return *new(T), inOrder(problems)
	}
	return take(m), nil
}

// overlay puts changes over keys, as a JSON merge patch does. RFC 7396.
func overlay(keys, changes map[string]any) {
	for key, value := range changes {
		inner, nested := value.(map[string]any)
		switch {
		case value == nil:
			delete(keys, key)
		case nested:
			under, _ := keys[key].(map[string]any)
			if under == nil {
				under = map[string]any{}
			}
			overlay(under, inner)
			keys[key] = under
		default:
			keys[key] = value
		}
	}
}

// change creates, sets or deletes one of all. at is its place, or -1; elsewhere
// says that it stands in the operator's file.
func change[T any](e Edit, all []T, at int, elsewhere bool, make func(x *T) (T, error)) ([]T, error) {
	switch {
	case elsewhere && e.Verb != Create:
		return all, ErrOperators
	case e.Verb == Create && (at >= 0 || elsewhere):
		return all, ErrTaken
	case e.Verb != Create && at < 0:
		return all, ErrUnknown
	case e.Verb == Delete:
		return slices.Delete(all, at, at+1), nil
	}
	var x *T
	if e.Verb == Set {
		x = &all[at]
	}
	y, err := make(x)
	switch {
	case err != nil:
	case at < 0:
		all = append(all, y)
	default:
		all[at] = y
	}
	return all, err
}

func listOf(key string) func(map[string]any) map[string]any {
	return func(keys map[string]any) map[string]any { return map[string]any{key: []any{keys}} }
}

func (m *Managed) editTarget(e Edit, c *Config) error {
	named := func(t Target) bool { return t.Name == e.Name }
	at := slices.IndexFunc(m.Targets, named)
	if at >= 0 && e.Verb == Delete && len(m.Targets[at].LUNs) > 0 {
		return fmt.Errorf("%w: it has LUNs; delete those first", ErrInUse)
	}
	for _, inner := range []string{"luns", "initiators", "name"} {
		if e.Keys[inner] != nil {
			return &Error{[]Problem{{File: "request", Path: inner, Reason: "is not to be given here"}}}
		}
	}
	elsewhere := at < 0 && slices.ContainsFunc(c.Targets, named)
	var err error
	m.Targets, err = change(e, m.Targets, at, elsewhere, func(x *Target) (Target, error) {
		var old Target
		if x != nil {
			old = *x
			bare := old
			bare.LUNs, bare.Initiators = nil, nil
			x = &bare
		}
		t, err := edited(e, x, map[string]any{"name": e.Name}, listOf("targets"), func(m *Managed) Target { return m.Targets[0] })
		t.LUNs, t.Initiators = old.LUNs, old.Initiators
		return t, err
	})
	return err
}

// within finds the target of that name among those made here or added to. If
// there is none and c has it, an addition is begun.
func (m *Managed) within(name string, c *Config, begin bool) *Target {
	for _, all := range [][]Target{m.Targets, m.Additions} {
		for i := range all {
			if all[i].Name == name {
				return &all[i]
			}
		}
	}
	if begin && slices.ContainsFunc(c.Targets, func(t Target) bool { return t.Name == name }) {
		m.Additions = append(m.Additions, Target{Name: name})
		return &m.Additions[len(m.Additions)-1]
	}
	return nil
}

func (m *Managed) editLUN(e Edit, c *Config) error {
	named := func(l LUN) bool { return l.Name == e.Name }
	home := e.Target
	for i := range c.Targets {
		if slices.ContainsFunc(c.Targets[i].LUNs, named) {
			home = c.Targets[i].Name
			if e.Verb == Create {
				return ErrTaken
			}
		}
	}
	t := m.within(home, c, e.Verb == Create)
	if t == nil {
		if e.Verb == Create {
			return fmt.Errorf("target %s: %w", home, ErrUnknown)
		}
		t = &Target{}
	}
	at := slices.IndexFunc(t.LUNs, named)
	elsewhere := at < 0 && home != e.Target
	if e.Verb != Create && at < 0 {
		elsewhere = slices.ContainsFunc(lunsIn(c), named)
	}
	var err error
	t.LUNs, err = change(e, t.LUNs, at, elsewhere, func(x *LUN) (LUN, error) {
		nest := func(keys map[string]any) map[string]any {
			return listOf("additions")(map[string]any{"name": home, "luns": []any{keys}})
		}
		if _, given := e.Keys["lun"]; !given && x == nil {
			e.Keys = maps.Clone(e.Keys)
			if e.Keys == nil {
				e.Keys = map[string]any{}
			}
			e.Keys["lun"] = freeLUN(c, home)
		}
		return edited(e, x, map[string]any{"name": e.Name}, nest, func(m *Managed) LUN { return m.Additions[0].LUNs[0] })
	})
	return err
}

func lunsIn(c *Config) []LUN {
	var all []LUN
	for i := range c.Targets {
		all = append(all, c.Targets[i].LUNs...)
	}
	return all
}

// freeLUN is the lowest number that a target has left.
func freeLUN(c *Config, target string) int {
	taken := map[uint16]bool{}
	for i := range c.Targets {
		if c.Targets[i].Name == target {
			for _, l := range c.Targets[i].LUNs {
				taken[l.LUN] = true
			}
		}
	}
	n := 0
	for taken[uint16(n)] {
		n++
	}
	return n
}

func (m *Managed) editInitiator(e Edit, c *Config) error {
	named := func(i Initiator) bool { return i.Name == e.Name }
	t := m.within(e.Target, c, true)
	if t == nil {
		return fmt.Errorf("target %s: %w", e.Target, ErrUnknown)
	}
	at := slices.IndexFunc(t.Initiators, named)
	elsewhere := at < 0 && slices.ContainsFunc(c.Targets, func(x Target) bool {
		return x.Name == e.Target && slices.ContainsFunc(x.Initiators, named)
	})
	var err error
	t.Initiators, err = change(e, t.Initiators, at, elsewhere, func(x *Initiator) (Initiator, error) {
		nest := func(keys map[string]any) map[string]any {
			return listOf("additions")(map[string]any{"name": e.Target, "initiators": []any{keys}})
		}
		return edited(e, x, map[string]any{"name": e.Name}, nest, func(m *Managed) Initiator { return m.Additions[0].Initiators[0] })
	})
	return err
}

// editPortal knows portals by their addresses, of which a group may have many.
func (m *Managed) editPortal(e Edit, c *Config) error {
	address, err := netip.ParseAddrPort(e.Name)
	if err != nil {
		return &Error{[]Problem{{File: "request", Path: "address", Reason: fmt.Sprintf("%q is not an address with a port, such as 10.0.0.5:3260 or [fd00::5]:3260", e.Name)}}}
	}
	// One entry for each address, for as long as it is edited.
	var all []Portal
	for _, p := range m.Portals {
		for _, a := range p.Listen {
			all = append(all, Portal{p.Group, []netip.AddrPort{a}})
		}
	}
	here := func(p Portal) bool { return slices.Contains(p.Listen, address) }
	at := slices.IndexFunc(all, here)
	all, err = change(e, all, at, at < 0 && slices.ContainsFunc(c.Portals, here), func(x *Portal) (Portal, error) {
		return edited(e, x, map[string]any{"listen": []any{e.Name}}, listOf("portals"), func(m *Managed) Portal { return m.Portals[0] })
	})
	m.Portals = nil
	for _, p := range all {
		i := slices.IndexFunc(m.Portals, func(x Portal) bool { return x.Group == p.Group })
		if i < 0 {
			m.Portals = append(m.Portals, p)
			continue
		}
		m.Portals[i].Listen = append(m.Portals[i].Listen, p.Listen...)
	}
	return err
}
