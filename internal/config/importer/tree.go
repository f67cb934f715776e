package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"nas-target/internal/config"
)

// A JSON text as a tree that knows its lines. encoding/json reads the tokens.

// node is a value. Its methods are safe on nil, which stands for absence.
type node struct {
	at     origin
	value  any // string, json.Number, bool or nil; unused in an object or array
	object []member
	array  []*node
	kind   byte // '{', '[' or 0
}

type member struct {
	name  string
	at    origin
	value *node
}

// maxDepth is far more than any of these files nests.
const maxDepth = 64

type treeReader struct {
	file File
	dec  *json.Decoder
	line int // of the last token
	seen int // bytes counted
}

func readTree(f File) (*node, error) {
	r := &treeReader{file: f, dec: json.NewDecoder(bytes.NewReader(f.Data)), line: 1}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err == nil {
		if _, more := r.dec.Token(); more != io.EOF {
			err = r.here().fail("something follows the end of the text")
		}
	}
	var placed *config.Error
	if err == nil || errors.As(err, &placed) {
		return n, err
	}
	return nil, f.jsonError(err, r.dec.InputOffset())
}

// jsonError gives an error of encoding/json its line.
func (f File) jsonError(err error, offset int64) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, err = int64(len(f.Data)), errors.New("the text ends too early")
	}
	before := f.Data[:min(max(offset, 0), int64(len(f.Data)))]
	at := origin{f.Name, 1 + bytes.Count(before, []byte("\n"))}
	return at.fail("%s", strings.TrimPrefix(err.Error(), "json: "))
}

func (r *treeReader) here() origin { return origin{r.file.Name, r.line} }

// token reads on and counts lines.
func (r *treeReader) token() (json.Token, error) {
	t, err := r.dec.Token()
	end := int(r.dec.InputOffset())
	r.line += bytes.Count(r.file.Data[r.seen:end], []byte("\n"))
	r.seen = end
	return t, err
}

func (r *treeReader) value(depth int) (*node, error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &node{at: r.here()}
	d, ok := t.(json.Delim)
	if !ok {
		n.value = t
		return n, nil
	}
	n.kind = byte(d)
	if depth == maxDepth {
		return nil, r.here().fail("nested more than %d deep", maxDepth)
	}
	for r.dec.More() {
		if n.kind == '{' {
			key, err := r.token()
			if err != nil {
				return nil, err
			}
			m := member{name: key.(string), at: r.here()}
			if n.get(m.name) != nil {
				return nil, m.at.fail("%q stands twice in one object", m.name)
			}
			if m.value, err = r.value(depth + 1); err != nil {
				return nil, err
			}
			n.object = append(n.object, m)
			continue
		}
		item, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.array = append(n.array, item)
	}
	_, err = r.token() // the closing bracket
	return n, err
}

// get returns a member of an object, nil if there is none.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.object {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// items returns the elements of an array; absence is none.
func (n *node) items() ([]*node, error) {
	if n == nil || n.kind == 0 && n.value == nil {
		return nil, nil
	}
	if n.kind != '[' {
		return nil, n.at.fail("a list in brackets belongs here")
	}
	for _, item := range n.array {
		if item.kind != '{' {
			return nil, item.at.fail("an object in braces belongs here")
		}
	}
	return n.array, nil
}

// text returns a string; absence is "". Numbers and truth values count as
// written, because these files hold either.
func (n *node) text() (string, error) {
	if n == nil {
		return "", nil
	}
	if n.kind == 0 {
		switch v := n.value.(type) {
		case nil:
			return "", nil
		case string:
			return v, nil
		case json.Number:
			return v.String(), nil
		case bool:
			return strconv.FormatBool(v), nil
		}
	}
	return "", n.at.fail("a text belongs here")
}

// number returns a whole number; absence is fallback.
func (n *node) number(fallback int64) (int64, error) {
	s, err := n.text()
	if err != nil || s == "" {
		return fallback, err
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, n.at.fail("%s is not a whole number", s)
	}
	return v, nil
}

// truth returns a truth value: true and false, or 1 and 0; absence is fallback.
func (n *node) truth(fallback bool) (bool, error) {
	s, err := n.text()
	if err != nil || s == "" {
		return fallback, err
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, n.at.fail("%s is neither true nor false", s)
	}
	return v, nil
}

// must wants a member to be there.
func (n *node) must(name string) (*node, error) {
	if n.kind != '{' {
		return nil, n.at.fail("an object in braces belongs here")
	}
	v := n.get(name)
	if v == nil {
		return nil, n.at.fail("%q is missing here", name)
	}
	return v, nil
}

func (n *node) String() string { return fmt.Sprint(n.value) }
