package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"nas-target/internal/backstore"
)

// checkKeys compares the keys of the YAML tree with the fields of t.
func checkKeys(n *yaml.Node, t reflect.Type, path string, report func(line int, path, reason string)) {
	switch {
	case n.Kind == yaml.AliasNode:
		checkKeys(n.Alias, t, path, report)
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[Config]().PkgPath():
		fields := fieldsOf(t)
		known := make([]string, 0, len(fields))
		for name := range fields {
			known = append(known, name)
		}
		if t == reflect.TypeFor[LUN]() {
			known = append(known, optionNames(n)...)
		}
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			at := join(path, key.Value)
			if first, twice := seen[key.Value]; twice {
				report(key.Line, at, fmt.Sprintf("stands twice; the first is on line %d", first))
			}
			seen[key.Value] = key.Line
			if !slices.Contains(known, key.Value) {
				report(key.Line, at, unknownKey(key.Value, known))
				continue
			}
			if ft, ours := fields[key.Value]; ours {
				checkKeys(value, ft, at, report)
			}
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			checkKeys(item, t.Elem(), path+"["+strconv.Itoa(i)+"]", report)
		}
	}
}

// fieldsOf maps the keys of a struct to their types.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("mapstructure"); name != "" && name[0] != '-' && name[0] != ',' {
			fields[name] = f.Type
		}
	}
	return fields
}

// optionNames lists the keys that the backstore named in a LUN adds to it, or
// those of all kinds when the name says nothing.
func optionNames(lun *yaml.Node) []string {
	kinds := backstore.Kinds()
	if v := child(lun, "backstore"); v != nil {
		if k, err := backstore.Lookup(v.Value); err == nil {
			kinds = []backstore.Kind{k}
		}
	} else if k, err := backstore.Lookup(defaultBackstore); err == nil {
		kinds = []backstore.Kind{k}
	}
	var names []string
	for _, k := range kinds {
		for _, f := range k.Fields {
			names = append(names, f.Name)
		}
	}
	return names
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// lineOf finds the line of a path such as targets[0].luns[1].size, or of the
// longest part of it that exists.
func lineOf(n *yaml.Node, path string) int {
	line := 0
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		for n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n == nil {
			break
		}
		if i, err := strconv.Atoi(step); err == nil && n.Kind == yaml.SequenceNode {
			if i >= len(n.Content) {
				break
			}
			n = n.Content[i]
		} else {
			n = child(n, step)
		}
		if n != nil {
			line = n.Line
		}
	}
	return line
}

// unknownKey never tells the value: it may be a secret that stands where it
// does not belong.
func unknownKey(word string, known []string) string {
	for _, part := range []string{"secret", "password", "passwd"} {
		if strings.Contains(word, part) {
			return "unknown key; CHAP secrets stand in the file that chap.secrets_file names, never here"
		}
	}
	return "unknown key" + didYouMean(word, known)
}

func didYouMean(word string, known []string) string {
	best, distance := "", len(word)/3+1
	slices.Sort(known)
	for _, k := range known {
		if d := edits(word, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return "; known here: " + strings.Join(known, ", ")
}

// edits counts the insertions, deletions and replacements between two words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// allKeys lists every key of every level, those of the backstores included.
func allKeys() []string {
	var keys []string
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[Config]().PkgPath() {
			return
		}
		for name, ft := range fieldsOf(t) {
			keys = append(keys, name)
			walk(ft)
		}
	}
	walk(reflect.TypeFor[Config]())
	for _, k := range backstore.Kinds() {
		for _, f := range k.Fields {
			keys = append(keys, f.Name)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
