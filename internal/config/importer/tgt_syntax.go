package importer

import (
	"bytes"
	"regexp"
	"strings"
)

// The syntax of targets.conf is that of Perl's Config::General with Apache's
// includes: lines "name value" or "name = value", blocks <name value> to
// </name>, # to the end of a line wherever it stands, unless \ stands before
// it, and \ at the end of a line to go on with the next. Here documents and C
// comments, which that reader knows too, are refused.

// directive is a line or a block.
type directive struct {
	name, value string
	at          origin
	block       bool
	inner       []directive
}

// maxIncludes bounds files, so that one that includes itself ends.
const maxIncludes = 1000

type tgtSyntax struct {
	include func(string) ([]File, error)
	files   int
}

var (
	separator  = regexp.MustCompile(`\s*=\s*|\s+`)
	blockStart = regexp.MustCompile(`^<([^\s/<>][^\s<>]*)\s*([^<>]*)>$`)
	blockEnd   = regexp.MustCompile(`^</([^\s<>]+)\s*>$`)
)

// parse reads a file and what it includes.
func (s *tgtSyntax) parse(f File) ([]directive, error) {
	top := directive{at: origin{f.Name, 0}}
	open := []*directive{&top}
	var pending string // a line that goes on
	begun := 0
	line := 0
	for raw := range bytes.Lines(f.Data) {
		line++
		text := pending + uncomment(string(bytes.TrimRight(raw, "\r\n")))
		if pending == "" {
			begun = line
		}
		if rest, more := strings.CutSuffix(text, `\`); more {
			pending = strings.TrimSpace(rest) + " "
			continue
		}
		pending = ""
		text = strings.TrimSpace(text)
		at := origin{f.Name, begun}
		inside := open[len(open)-1]
		switch {
		case text == "":
		case strings.HasPrefix(text, "/*"):
			return nil, at.fail("C comments are not understood; begin each line with #")
		case blockEnd.MatchString(text):
			name := blockEnd.FindStringSubmatch(text)[1]
			if len(open) == 1 {
				return nil, at.fail("</%s> ends a block that nothing begins", name)
			}
			if name != inside.name {
				return nil, at.fail("</%s> ends the block <%s> of line %d", name, inside.name, inside.at.line)
			}
			open = open[:len(open)-1]
		case text[0] == '<':
			m := blockStart.FindStringSubmatch(text)
			if m == nil {
				return nil, at.fail("%s is not a block, such as <target iqn.2026-11.com.example:disks>", text)
			}
			if len(open) == 3 {
				return nil, at.fail("blocks nest two deep: <target> and <backing-store> or <direct-store>")
			}
			value := strings.TrimSpace(m[2])
			if unquoted := unquote(value); unquoted != "" {
				value = unquoted
			}
			inside.inner = append(inside.inner, directive{name: m[1], value: value, at: at, block: true})
			open = append(open, &inside.inner[len(inside.inner)-1])
		default:
			d := split(text, at)
			if strings.HasPrefix(d.value, "<<") {
				return nil, at.fail("here documents (<<) are not understood")
			}
			if !strings.EqualFold(d.name, "include") {
				inside.inner = append(inside.inner, d)
				continue
			}
			if len(open) > 1 {
				return nil, at.fail("include inside of a block is not understood")
			}
			more, err := s.included(d)
			if err != nil {
				return nil, err
			}
			inside.inner = append(inside.inner, more...)
		}
	}
	if last := open[len(open)-1]; len(open) > 1 {
		return nil, last.at.fail("the block <%s> has no end", last.name)
	}
	if pending != "" {
		return nil, origin{f.Name, begun}.fail("the last line says that it goes on")
	}
	return top.inner, nil
}

func (s *tgtSyntax) included(d directive) ([]directive, error) {
	if s.include == nil {
		return nil, d.at.fail("include %s: other files are not read here", d.value)
	}
	files, err := s.include(d.value)
	if err != nil {
		return nil, d.at.fail("include %s: %v", d.value, err)
	}
	var all []directive
	for _, f := range files {
		if s.files++; s.files > maxIncludes {
			return nil, d.at.fail("more than %d files are included; does one include itself?", maxIncludes)
		}
		more, err := s.parse(f)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// uncomment cuts a line at # and takes the \ away that keeps one.
func uncomment(line string) string {
	for i := 0; i < len(line); i++ {
		if line[i] != '#' {
			continue
		}
		if i == 0 || line[i-1] != '\\' {
			return line[:i]
		}
		line = line[:i-1] + line[i:]
		i--
	}
	return line
}

// split takes a line apart. A line in quotes is one value; so is a value.
func split(text string, at origin) directive {
	m := separator.FindStringIndex(text)
	if m == nil || m[0] == 0 {
		return directive{name: text, at: at}
	}
	value := text[m[1]:]
	if unquoted := unquote(value); unquoted != "" {
		value = unquoted
	}
	return directive{name: text[:m[0]], value: value, at: at}
}

// unquote returns what stands between double quotes, "" if nothing does.
func unquote(s string) string {
	if len(s) > 2 && s[0] == '"' && s[len(s)-1] == '"' && !strings.Contains(s[1:len(s)-1], `"`) {
		return s[1 : len(s)-1]
	}
	return ""
}
