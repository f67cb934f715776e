package importer

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"nas-target/internal/config"
)

// draft is the configuration while it is put together. Its fields are the keys
// of package config; what is not set is left to the defaults there.
type draft struct {
	CHAP    *chap     `yaml:"chap,omitempty"`
	Portals []portal  `yaml:"portals"`
	Targets []*target `yaml:"targets"`

	options Options
	notes   []Note
	taken   map[string]bool   // names of LUNs
	paths   map[string]origin // media, and where they were first seen
	secrets accounts
}

type chap struct {
	SecretsFile string `yaml:"secrets_file,omitempty"`
	Discovery   *users `yaml:"discovery,omitempty"`
}

type users struct {
	User       string `yaml:"user"`
	MutualUser string `yaml:"mutual_user,omitempty"`
}

type portal struct {
	Group  uint16   `yaml:"group"`
	Listen []string `yaml:"listen,flow"`
}

type target struct {
	Name         string        `yaml:"name"`
	PortalGroups []uint16      `yaml:"portal_groups,omitempty,flow"`
	Access       string        `yaml:"access,omitempty"`
	HeaderDigest config.Digest `yaml:"header_digest,omitempty"`
	DataDigest   config.Digest `yaml:"data_digest,omitempty"`
	Initiators   []*initiator  `yaml:"initiators,omitempty"`
	LUNs         []*lun        `yaml:"luns,omitempty"`

	at origin
}

type initiator struct {
	Name     string   `yaml:"name"`
	Networks []string `yaml:"networks,omitempty,flow"`
	LUNs     []uint16 `yaml:"luns,omitempty,flow"`
	CHAP     *users   `yaml:"chap,omitempty"`

	at origin
}

type lun struct {
	LUN           uint16 `yaml:"lun"`
	Name          string `yaml:"name"`
	Backstore     string `yaml:"backstore,omitempty"`
	Path          string `yaml:"path,omitempty"`
	Size          int64  `yaml:"size,omitempty"`
	Direct        bool   `yaml:"direct,omitempty"`
	BlockSize     int64  `yaml:"block_size,omitempty"`
	PhysicalBlock int64  `yaml:"physical_block_size,omitempty"`
	WriteCache    *bool  `yaml:"write_cache,omitempty"` // default true
	ReadOnly      bool   `yaml:"read_only,omitempty"`
	NAA           quoted `yaml:"naa,omitempty"`
	Serial        quoted `yaml:"serial,omitempty"`
	Vendor        quoted `yaml:"vendor,omitempty"`
	Product       quoted `yaml:"product,omitempty"`
	Revision      quoted `yaml:"revision,omitempty"`

	at origin
}

// quoted is a text that some readers would take for a number.
type quoted string

func (q quoted) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: string(q), Style: yaml.DoubleQuotedStyle}, nil
}

func newDraft(o Options) *draft {
	return &draft{options: o, taken: map[string]bool{}, paths: map[string]origin{}, secrets: accounts{}}
}

func (d *draft) note(k Kind, at origin, format string, args ...any) {
	d.notes = append(d.notes, Note{Kind: k, File: at.file, Line: at.line, Text: fmt.Sprintf(format, args...)})
}

// target adds a target. iSCSI names are the same in capitals; ours are written
// without. RFC 7143 §4.2.7.1.
func (d *draft) target(name string, at origin) *target {
	t := &target{Name: strings.ToLower(name), at: at}
	d.Targets = append(d.Targets, t)
	return t
}

// medium sets where the LUN's blocks are. One medium is one LUN: a path that
// was exported before is refused, and the caller leaves the LUN out.
func (d *draft) medium(l *lun, path string) bool {
	clean := filepath.Clean(path)
	if first, twice := d.paths[clean]; twice {
		d.note(Lost, l.at, "%s is exported twice, first on line %d; here a disk is one LUN of one target, "+
			"and several ways to it are several portals", path, first.line)
		return false
	}
	d.paths[clean] = l.at
	l.Path = path
	device := strings.HasPrefix(clean, "/dev/")
	if d.options.Look != nil {
		if is, err := d.options.Look(path); err == nil {
			device = is
		} else {
			d.note(Check, l.at, "there is no disk here yet: %v", err)
		}
	}
	if device {
		l.Backstore = "block"
	}
	return true
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// nameLUN makes the LUN's name, which must be unique, of what people called it.
func (d *draft) nameLUN(l *lun, from string) {
	name := notInNames.ReplaceAllString(from, "-")
	name = strings.TrimLeft(name, "._-")
	if len(name) > 50 {
		name = name[:50]
	}
	if name == "" {
		name = fmt.Sprintf("lun%d", l.LUN)
	}
	for i, base := 2, name; d.taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	d.taken[name] = true
	l.Name = name
}

// finish makes text of the draft and has it judged. What config refuses and
// can be left out is left out: an identifier that cannot be taken over, an
// initiator, never a target or a disk.
func (d *draft) finish(format, file string) (*Result, error) {
	if d.Targets == nil {
		return nil, origin{file: file}.fail("there is no iSCSI target in it")
	}
	d.distinguish()
	for {
		text, err := d.marshal(format, file)
		if err != nil {
			return nil, err
		}
		c, err := config.Parse(file, text)
		if err == nil {
			return &Result{Text: text, Config: c, Report: inOrder(d.notes), Secrets: d.secrets.text(d)}, nil
		}
		bad, ok := err.(*config.Error)
		if !ok || !d.leaveOut(bad.Problems) {
			return nil, d.placed(bad, err)
		}
	}
}

// distinguish keeps two disks from answering to one name: a host would take
// them for two ways to one disk and mix their contents.
func (d *draft) distinguish() {
	naas, serials := map[quoted]*lun{}, map[quoted]*lun{}
	for _, t := range d.Targets {
		for _, l := range t.LUNs {
			if first := naas[l.NAA]; first != nil && l.NAA != "" {
				d.note(Lost, l.at, "the NAA identifier of %s, which %s has: hosts would take the two for one disk", l.Name, first.Name)
				l.NAA = ""
			}
			if first := serials[l.Serial]; first != nil && l.Serial != "" {
				d.note(Lost, l.at, "the serial number of %s, which %s has", l.Name, first.Name)
				l.Serial = ""
			}
			naas[l.NAA], serials[l.Serial] = l, l
		}
	}
}

func (d *draft) marshal(format, file string) ([]byte, error) {
	if text := d.secrets.text(d); d.options.SecretsFile != "" && !text.Empty() {
		if d.CHAP == nil {
			d.CHAP = &chap{}
		}
		d.CHAP.SecretsFile = d.options.SecretsFile
	}
	for _, t := range d.Targets {
		slices.SortStableFunc(t.LUNs, func(a, b *lun) int { return int(a.LUN) - int(b.LUN) })
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Imported from %s (%s).\n", notInNames.ReplaceAllString(filepath.Base(file), "-"), format)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(d); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

var (
	ofLUN       = regexp.MustCompile(`^targets\[(\d+)\]\.luns\[(\d+)\]\.?(.*)$`)
	ofInitiator = regexp.MustCompile(`^targets\[(\d+)\]\.initiators\[(\d+)\]\.?(.*)$`)
	ofTarget    = regexp.MustCompile(`^targets\[(\d+)\]`)
)

// leaveOut removes the first thing that is refused and can be spared.
func (d *draft) leaveOut(problems []config.Problem) bool {
	for _, p := range problems {
		if l, key := d.lunAt(p.Path); l != nil {
			for _, x := range []struct {
				key, what string
				value     *quoted
			}{
				{"naa", "the NAA identifier", &l.NAA}, {"serial", "the serial number", &l.Serial},
				{"vendor", "the vendor in INQUIRY", &l.Vendor}, {"product", "the product in INQUIRY", &l.Product}, {"revision", "the revision in INQUIRY", &l.Revision},
			} {
				if key == x.key {
					d.note(Lost, l.at, "%s of %s: %s", x.what, l.Name, p.Reason)
					*x.value = ""
					return true
				}
			}
		}
		if m := ofInitiator.FindStringSubmatch(p.Path); m != nil {
			t, i := d.Targets[index(m[1])], index(m[2])
			gone := t.Initiators[i]
			d.note(Lost, gone.at, "the initiator %s, who is not let in: %s", gone.Name, p.Reason)
			t.Initiators = slices.DeleteFunc(t.Initiators, func(x *initiator) bool {
				// Nor may it get by the row for everybody what its own did not give.
				everybody := x.Name == config.AnyInitiator
				return x == gone || everybody && (!same(x.CHAP, gone.CHAP) || !slices.Equal(x.LUNs, gone.LUNs))
			})
			return true
		}
	}
	return false
}

func (d *draft) lunAt(path string) (*lun, string) {
	m := ofLUN.FindStringSubmatch(path)
	if m == nil {
		return nil, ""
	}
	return d.Targets[index(m[1])].LUNs[index(m[2])], m[3]
}

// placed gives what is wrong the line that it comes from.
func (d *draft) placed(bad *config.Error, err error) error {
	if bad == nil {
		return err
	}
	var all config.Error
	for _, p := range bad.Problems {
		if l, _ := d.lunAt(p.Path); l != nil {
			p.File, p.Line = l.at.file, l.at.line
		} else if m := ofTarget.FindStringSubmatch(p.Path); m != nil {
			at := d.Targets[index(m[1])].at
			p.File, p.Line = at.file, at.line
		} else {
			p.Line = 0 // that of a text that nobody has seen
		}
		all.Problems = append(all.Problems, p)
	}
	return &all
}

func index(digits string) int {
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}

func ptr[T any](v T) *T { return &v }
