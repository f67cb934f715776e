package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Diff tells what becomes different when b takes the place of a: one line for
// each thing that comes (+), goes (-) or changes (~). Things are known by their
// names, so their order makes no difference.
func Diff(a, b *Config) []string {
	was, is := things(a), things(b)
	var all []string
	for _, x := range was {
		if !slices.ContainsFunc(is, x.same) {
			all = append(all, "- "+x.name)
		}
	}
	for _, x := range is {
		i := slices.IndexFunc(was, x.same)
		if i < 0 {
			all = append(all, "+ "+x.name+x.brief())
			continue
		}
		for _, change := range x.changes(was[i]) {
			all = append(all, "~ "+x.name+": "+change)
		}
	}
	return all
}

// thing is what has a name in a configuration.
type thing struct {
	name string
	keys []string // in the order in which they are written
	is   map[string]string
}

func (x thing) same(y thing) bool { return x.name == y.name }

func (x thing) brief() string {
	var all []string
	for _, k := range x.keys {
		all = append(all, k+" "+x.is[k])
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, ", ")
}

func (x thing) changes(old thing) []string {
	var all []string
	for _, k := range old.keys {
		if _, stays := x.is[k]; !stays {
			all = append(all, fmt.Sprintf("%s %s → none", k, old.is[k]))
		}
	}
	for _, k := range x.keys {
		before, was := old.is[k]
		if !was {
			before = "none"
		}
		if before != x.is[k] {
			all = append(all, fmt.Sprintf("%s %s → %s", k, before, x.is[k]))
		}
	}
	return all
}

// things lists what c consists of.
func things(c *Config) []thing {
	all := []thing{newThing("configuration", c, "portals", "targets")}
	for _, p := range c.Portals {
		for _, a := range p.Listen {
			all = append(all, thing{fmt.Sprintf("portal %v", a), []string{"group"}, map[string]string{"group": fmt.Sprint(p.Group)}})
		}
	}
	for i := range c.Targets {
		t := &c.Targets[i]
		all = append(all, newThing("target "+t.Name, t, "name", "initiators", "luns"))
		for j := range t.Initiators {
			x := &t.Initiators[j]
			name := "initiator " + x.Name
			if len(x.Networks) > 0 {
				name += " from " + strings.Trim(fmt.Sprint(x.Networks), "[]")
			}
			all = append(all, newThing(name+" at "+t.Name, x, "name", "networks"))
		}
		for j := range t.LUNs {
			x := newThing("LUN "+t.LUNs[j].Name, &t.LUNs[j], "name")
			x.keys = append([]string{"target"}, x.keys...)
			x.is["target"] = t.Name
			all = append(all, x)
		}
	}
	return all
}

// newThing flattens the fields of v, apart from some.
func newThing(name string, v any, without ...string) thing {
	x := thing{name: name, is: map[string]string{}}
	n := encode(reflect.ValueOf(v))
	if n == nil {
		return x
	}
	var walk func(prefix string, n *yaml.Node)
	walk = func(prefix string, n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := prefix+n.Content[i].Value, n.Content[i+1]
			switch {
			case slices.Contains(without, key):
			case value.Kind == yaml.MappingNode:
				walk(key+".", value)
			case value.Kind == yaml.SequenceNode:
				var items []string
				for _, item := range value.Content {
					items = append(items, item.Value)
				}
				x.keys, x.is[key] = append(x.keys, key), strings.Join(items, " ")
			default:
				x.keys, x.is[key] = append(x.keys, key), value.Value
			}
		}
	}
	walk("", n)
	return x
}
