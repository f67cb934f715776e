package config

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// syntaxError is a text that is no YAML, or no configuration as a whole.
type syntaxError struct {
	line   int // 0: the file as a whole
	reason string
}

func (e *syntaxError) Error() string { return e.reason }

// parseTree returns the top mapping; an empty file is an empty mapping.
func parseTree(data []byte) (*yaml.Node, *syntaxError) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	} else if err != nil {
		return nil, explain(data, err)
	}
	if err := dec.Decode(&second); err == nil {
		return nil, &syntaxError{second.Line, "a second YAML document begins here; the file must hold one"}
	} else if err != io.EOF {
		return nil, explain(data, err)
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, &syntaxError{top.Line, "the file must be keys with their values, such as data_dir: /var/lib/nas-target"}
	}
	if n := tagged(top); n != nil {
		return nil, &syntaxError{n.Line, fmt.Sprintf("%s: a value has no YAML tag here; remove it", n.Tag)}
	}
	if n := circle(top, map[*yaml.Node]bool{}); n != nil {
		return nil, &syntaxError{n.Line, fmt.Sprintf("*%s stands inside of what &%[1]s names", n.Value)}
	}
	return top, nil
}

// circle returns the first alias of something that it is a part of. What it has
// been through stands in seen, true while it is inside of it.
func circle(n *yaml.Node, seen map[*yaml.Node]bool) *yaml.Node {
	if _, done := seen[n]; done {
		return nil
	}
	seen[n] = true
	defer func() { seen[n] = false }()
	if n.Kind == yaml.AliasNode {
		if seen[n.Alias] {
			return n
		}
		return circle(n.Alias, seen)
	}
	for _, inner := range n.Content {
		if c := circle(inner, seen); c != nil {
			return c
		}
	}
	return nil
}

// tagged returns the first node that says itself what it is.
func tagged(n *yaml.Node) *yaml.Node {
	if n.Style&yaml.TaggedStyle != 0 {
		return n
	}
	for _, inner := range n.Content {
		if t := tagged(inner); t != nil {
			return t
		}
	}
	return nil
}

var (
	atLine  = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	anchors = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// explain places an error of the YAML parser, and says what would be right. The
// parser counts lines from 0 or 1 and leaves out the first one; in a text that
// has one more line at its beginning, what it says can be told.
func explain(data []byte, err error) *syntaxError {
	if line := unreadable(data); line > 0 {
		return &syntaxError{line, "this is not text in UTF-8, or has control characters in it"}
	}
	var ignored yaml.Node
	shifted := yaml.NewDecoder(io.MultiReader(strings.NewReader("#\n"), bytes.NewReader(data), strings.NewReader("\n")))
	for again := error(nil); again == nil; {
		if again = shifted.Decode(&ignored); again != nil && again != io.EOF {
			err = again
		}
	}
	m := atLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	if m == nil {
		return &syntaxError{0, err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	said := m[2]
	if a := anchors.FindStringSubmatch(said); a != nil {
		return &syntaxError{lineWith(data, "*"+a[1]), fmt.Sprintf("*%s: nothing is named &%[1]s; a text that begins with * needs quotes", a[1])}
	}
	if line > 0 && !ofParser[said] {
		line-- // the line that was put in front
	}
	for i, text := range strings.Split(string(data), "\n") {
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if i+1 >= line && strings.Contains(indent, "\t") && (i+1 == line || strings.Contains(said, "tab character")) {
			return &syntaxError{i + 1, "a tab before a key; indent with spaces"}
		}
	}
	end := 1 + bytes.Count(bytes.TrimRight(data, " \t\r\n"), []byte("\n"))
	return &syntaxError{min(line, end), rightForm(said)}
}

// ofParser are the errors whose lines are counted from 0.
var ofParser = map[string]bool{
	"did not find expected ',' or '}'": true, "did not find expected ',' or ']'": true,
	"did not find expected key": true, "did not find expected '-' indicator": true,
	"did not find expected node content": true, "did not find expected <document start>": true,
	"did not find expected <stream-start>": true, "found undefined tag handle": true,
}

// rightForm says what belongs there instead of what the parser found.
func rightForm(said string) string {
	switch {
	case strings.Contains(said, "found a tab character"):
		return "a tab where a space belongs; indent with spaces"
	case said == "found character that cannot start any token":
		return "a value cannot begin with this character; put it in quotes"
	case said == "did not find expected alphabetic or numeric character":
		return "a text that begins with * or & needs quotes"
	case said == "found unexpected end of stream":
		return "a quote that begins here never ends"
	case said == "found unknown escape character":
		return `a backslash that means nothing in "…"; write \\, or use '…'`
	case said == "mapping values are not allowed in this context":
		return "a colon where none can be: a key indented otherwise than its neighbours, two keys on one line, or a value that needs quotes"
	case said == "could not find expected ':'":
		return "a key without a colon behind it, or a line indented otherwise than its neighbours"
	case said == "did not find expected ',' or '}'":
		return "the { that begins here has no end, or a comma is missing in it"
	case said == "did not find expected ',' or ']'":
		return "the [ that begins here has no end, or a comma is missing in it"
	case said == "did not find expected key", said == "did not find expected '-' indicator", said == "block sequence entries are not allowed in this context":
		return "in the list or the keys that begin here, a line is indented otherwise than its neighbours"
	case said == "did not find expected node content":
		return "a value is missing here, or a [ or { has no end"
	}
	return said
}

// unreadable finds the first line that is no text.
func unreadable(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n == 1, r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return line
		case r == '\n':
			line++
		}
		data = data[n:]
	}
	return 0
}

// lineWith finds the first line that has the anchor or alias in it, before a
// comment.
func lineWith(data []byte, name string) int {
	at := regexp.MustCompile(`(?m)^[^#\n]*` + regexp.QuoteMeta(name) + `(?:[^0-9A-Za-z_-]|$)`).FindIndex(data)
	if at == nil {
		return 0
	}
	return 1 + bytes.Count(data[:at[0]], []byte("\n"))
}
