package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nas-target/internal/config"
	"nas-target/internal/plain"
)

// File is a file that was read: its name is for messages.
type File struct {
	Name string
	Data []byte
}

// Options are what the file itself does not say.
type Options struct {
	// Portals are where to listen. Empty: where the old target did.
	Portals []netip.AddrPort
	// Include returns the files that an include of targets.conf names; the
	// pattern may hold wildcards or name a directory. Nil refuses them.
	Include func(pattern string) ([]File, error)
	// Look says whether a path is a block device. Nil, or an error, which is
	// told: what is under /dev is one.
	Look func(path string) (device bool, err error)
	// SecretsFile is where CHAP secrets will be; the configuration names it.
	SecretsFile string
}

// Result is an imported configuration.
type Result struct {
	Text    []byte         // YAML
	Config  *config.Config // the same, read
	Report  []Note
	Secrets Secrets
}

// formats are the rows: another target is another row.
var formats = []struct {
	name string
	read func(*draft, File) error
}{
	{"gotgt", readGOTGT},
	{"tgt", readTGT},
	{"lio", readLIO},
}

// Formats names what can be imported.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Import reads a file of the named format. An error is a *config.Error: each
// problem with its line.
func Import(format string, file File, o Options) (*Result, error) {
	for _, f := range formats {
		if f.name != format {
			continue
		}
		d := newDraft(o)
		if err := f.read(d, file); err != nil {
			return nil, err
		}
		return d.finish(format, file.Name)
	}
	return nil, fmt.Errorf("%q is none of %s", format, strings.Join(Formats(), ", "))
}

// Kind says what became of something.
type Kind string

const (
	Lost    Kind = "not carried over" // the old target did it, this one will not
	Changed Kind = "changed"          // this one will do it otherwise
	Check   Kind = "check"            // the file does not tell, somebody has to look
)

// Note is one line of the report.
type Note struct {
	Kind Kind
	File string
	Line int // 0: the file as a whole
	Text string
}

func (n Note) String() string {
	where := n.File
	if n.Line > 0 {
		where = fmt.Sprintf("%s:%d", n.File, n.Line)
	}
	return plain.Line(fmt.Sprintf("%s: %s: %s", where, n.Kind, n.Text))
}

// origin is where something stands in what was read.
type origin struct {
	file string
	line int
}

func (at origin) fail(format string, args ...any) error {
	return &config.Error{Problems: []config.Problem{{File: at.file, Line: at.line, Reason: plain.Line(fmt.Sprintf(format, args...))}}}
}

// inOrder sorts notes by place and drops repetitions.
func inOrder(notes []Note) []Note {
	slices.SortStableFunc(notes, func(a, b Note) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return slices.Compact(notes)
}
