package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Managed is what operators made through the API, beside the operator's file,
// which is never written to. A name that stands in both is an error.
type Managed struct {
	Portals []Portal `mapstructure:"portals"` // addresses, of groups of either file
	Targets []Target `mapstructure:"targets"` // made whole
	// Additions are LUNs and initiators of targets that stand in the
	// operator's file; of each target only the name counts.
	Additions []Target `mapstructure:"additions"`
}

// Source is the text of a file, and what it is called in messages.
type Source struct {
	Name string
	Data []byte
}

// origins tell where the parts of a merged configuration come from: by path in
// it, where in which file.
type origins map[string]origin

type origin struct {
	in   *document
	path string
}

type document struct {
	name string
	tree *yaml.Node
}

// Merge reads the operator's file and what is managed beside it, and validates
// both together. held may be nil: nothing is known about the LUNs.
func Merge(file, managed Source, held Held) (*Config, error) {
	var problems []Problem
	c, m := &Config{}, &Managed{}
	a := readInto(file, reflect.TypeFor[Config](), func(data []byte) error { return decode(data, c) }, &problems)
	b := readInto(managed, reflect.TypeFor[Managed](), func(data []byte) error { return decodeManaged(data, m) }, &problems)
	if len(problems) > 0 {
		return nil, inOrder(problems)
	}
	from := origins{}
	report := func(path, reason string) { problems = append(problems, from.problem(a, path, reason)) }
	merged := merge(c, m, b, from, report)
	if len(problems) == 0 {
		validate(merged, held, report)
	}
	if len(problems) > 0 {
		return nil, inOrder(problems)
	}
	merged.Managed = m
	return merged, nil
}

func inOrder(problems []Problem) error {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return &Error{problems}
}

// readInto parses a file, strictly, and has it decoded.
func readInto(s Source, t reflect.Type, decode func([]byte) error, problems *[]Problem) *document {
	d := &document{name: s.Name}
	report := func(line int, path, reason string) {
		*problems = append(*problems, Problem{File: s.Name, Line: line, Path: path, Reason: reason})
	}
	tree, wrong := parseTree(s.Data)
	if wrong != nil {
		report(wrong.line, "", wrong.reason)
		return d
	}
	d.tree = tree
	before := len(*problems)
	checkKeys(d.tree, t, "", report)
	if len(*problems) > before {
		return d
	}
	if err := decode(s.Data); err != nil {
		for _, e := range decodeErrors(err) {
			report(lineOf(d.tree, e.path), e.path, e.reason)
		}
	}
	return d
}

// problem places what is wrong at path of the merged configuration in the file
// that it comes from.
func (o origins) problem(file *document, path, reason string) Problem {
	for at := path; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if from, ok := o[at]; ok {
			local := from.path + path[len(at):]
			return Problem{File: from.in.name, Line: lineOf(from.in.tree, local), Path: local, Reason: reason}
		}
	}
	return Problem{File: file.name, Line: lineOf(file.tree, path), Path: path, Reason: reason}
}

// merge adds m, read from doc, to a copy of c.
func merge(c *Config, m *Managed, doc *document, from origins, report func(path, reason string)) *Config {
	all := *c
	all.Portals, all.Targets = slices.Clone(c.Portals), slices.Clone(c.Targets)
	note := func(path, local string) { from[path] = origin{doc, local} }
	for i, p := range m.Portals {
		local := "portals" + index(i)
		at := slices.IndexFunc(all.Portals, func(x Portal) bool { return x.Group == p.Group })
		if at < 0 {
			note("portals"+index(len(all.Portals)), local)
			all.Portals = append(all.Portals, p)
			continue
		}
		group := &all.Portals[at]
		group.Listen = slices.Clone(group.Listen)
		for j, a := range p.Listen {
			note("portals"+index(at)+".listen"+index(len(group.Listen)), local+".listen"+index(j))
			group.Listen = append(group.Listen, a)
		}
	}
	for i, t := range m.Targets {
		note("targets"+index(len(all.Targets)), "targets"+index(i))
		all.Targets = append(all.Targets, t)
	}
	for i, add := range m.Additions {
		local := "additions" + index(i)
		at := slices.IndexFunc(c.Targets, func(x Target) bool { return x.Name == add.Name })
		if at < 0 {
			note("additions"+index(i), local)
			report("additions"+index(i)+".name", fmt.Sprintf("there is no target %s in the configuration file any more; put it back, or remove what was added to it", add.Name))
			continue
		}
		for _, key := range []string{"alias", "portal_groups", "access", "header_digest", "data_digest", "moved_to"} {
			if child(child(doc.tree, "additions").Content[i], key) != nil {
				note("additions"+index(i), local)
				report("additions"+index(i)+"."+key, "is the configuration file's to say")
			}
		}
		t, path := &all.Targets[at], "targets"+index(at)
		t.LUNs, t.Initiators = slices.Clone(t.LUNs), slices.Clone(t.Initiators)
		for j, l := range add.LUNs {
			note(path+".luns"+index(len(t.LUNs)), local+".luns"+index(j))
			t.LUNs = append(t.LUNs, l)
		}
		for j, x := range add.Initiators {
			note(path+".initiators"+index(len(t.Initiators)), local+".initiators"+index(j))
			t.Initiators = append(t.Initiators, x)
		}
	}
	return &all
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }
