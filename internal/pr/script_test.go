package pr_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
)

var update = flag.Bool("update", false, "write what the engine does into testdata/*.txt")

// TestScripts plays testdata/*.txt. A script is a story: commands at the
// margin, what came of them indented below. A line that begins with "==" starts
// afresh and names a subtest; "#" is a comment.
//
//	a register key=0 new=a1 aptpl
//	  good, generation 1
//
// Initiator ports are written a to z; a/2 is a second session of host a (the
// same node, another ISID), a@2 its path to the second target port. Keys are
// hexadecimal.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			got := playFile(t, string(want))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(want), got, "if this is right, run the test with -update")
		})
	}
}

// playFile returns the script with the output the engine gives. With the
// output as it should be every section is a subtest of its own.
func playFile(t *testing.T, text string) string {
	var out strings.Builder
	sections := strings.Split("\n"+text, "\n== ")
	for i, section := range sections {
		name, body, _ := strings.Cut(section, "\n")
		if i == 0 {
			out.WriteString(strings.TrimSpace(section))
			require.NotRegexp(t, `(?m)^[^#\s]`, section, "commands before the first ==")
			continue
		}
		got := playSection(t, body)
		t.Run(strings.TrimSpace(name), func(t *testing.T) {
			if !*update {
				require.Equal(t, strings.TrimRight(body, "\n"), strings.TrimRight(got, "\n"))
			}
		})
		fmt.Fprintf(&out, "\n\n== %s\n%s", name, strings.TrimRight(got, "\n"))
	}
	return strings.TrimLeft(out.String(), "\n") + "\n"
}

func playSection(t *testing.T, body string) string {
	s := newStage(t)
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimRight(body, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "  "):
			continue // output of before
		case line == "" || line[0] == '#':
			out.WriteString(line + "\n")
			continue
		}
		out.WriteString(line + "\n")
		for _, l := range s.play(line) {
			out.WriteString("  " + l + "\n")
		}
	}
	return out.String()
}

// stage is the device of a script: two target ports, hosts as they are named.
type stage struct {
	t     *testing.T
	store *lossyStore
	unit  *pr.Unit
	env   pr.Env
	seen  []string // initiator ports that have sent something: known to the device
}

// lossyStore can lose its contents.
type lossyStore struct {
	prstore.Mem
	err error
}

func (l *lossyStore) Load(unit string) (pr.State, pr.Revision, error) {
	s, rev, err := l.Mem.Load(unit)
	if l.err != nil {
		return pr.State{}, rev, l.err
	}
	return s, rev, err
}

func (l *lossyStore) Save(unit string, s pr.State, from pr.Revision) (pr.Revision, error) {
	rev, err := l.Mem.Save(unit, s, from)
	if err == nil {
		l.err = nil
	}
	return rev, err
}

const scriptTarget = "iqn.2026-11.local:target"

func newStage(t *testing.T) *stage {
	s := &stage{t: t, store: &lossyStore{}}
	for p := uint16(1); p <= 2; p++ {
		s.env.TargetPorts = append(s.env.TargetPorts, pr.Port{Name: pr.TargetPort(scriptTarget, p), RelativeID: p})
	}
	s.restart()
	return s
}

func (s *stage) restart() {
	s.unit, _ = pr.Open(pr.Config{ID: "lun", Store: s.store})
}

func node(host string) string { return "iqn.2026-11.local:" + host }

// port parses "a", "a/2".
func (s *stage) port(name string) (host string, isid [6]byte) {
	host, session, _ := strings.Cut(name, "/")
	isid = [6]byte{0x00, 0x02, 0x3d, 0, 0, 1}
	if session != "" {
		n, err := strconv.Atoi(session)
		require.NoError(s.t, err)
		isid[5] = byte(n)
	}
	return host, isid
}

// nexus parses "a", "a/2", "a@2", "a/2@2".
func (s *stage) nexus(path string) pr.Nexus {
	name, tpgt, _ := strings.Cut(path, "@")
	p := uint16(1)
	if tpgt != "" {
		n, err := strconv.Atoi(tpgt)
		require.NoError(s.t, err)
		p = uint16(n)
	}
	host, isid := s.port(name)
	return pr.Nexus{Initiator: pr.InitiatorPort(node(host), isid), Target: pr.TargetPort(scriptTarget, p)}
}

func pathOf(n pr.Nexus) string {
	host := strings.TrimPrefix(pr.Node(n.Initiator), node(""))
	session, _ := strconv.ParseUint(n.Initiator[len(n.Initiator)-2:], 16, 8)
	if session != 1 {
		host += fmt.Sprintf("/%d", session)
	}
	if port, _ := strconv.ParseUint(n.Target[len(n.Target)-4:], 16, 16); port != 1 {
		host += fmt.Sprintf("@%d", port)
	}
	return host
}

func pathsOf(ns []pr.Nexus) string {
	var out []string
	for _, n := range ns {
		out = append(out, pathOf(n))
	}
	return strings.Join(out, " ")
}

var verbs = map[string]pr.Action{
	"register": pr.Register, "reserve": pr.Reserve, "release": pr.Release, "clear": pr.Clear,
	"preempt": pr.Preempt, "preempt-and-abort": pr.PreemptAndAbort,
	"register-and-ignore": pr.RegisterAndIgnore, "register-and-move": pr.RegisterAndMove,
	"replace-lost-reservation": pr.ReplaceLostReservation,
	"legacy-reserve":           pr.LegacyReserve, "legacy-release": pr.LegacyRelease, "nexus-loss": pr.NexusLoss,
	"lu-reset": pr.LUReset, "power-cycle": pr.PowerCycle, "operator-clear": pr.OperatorClear,
	"service-action-9": 9, "service-action-1f": 0x1f,
}

func (s *stage) play(line string) []string {
	words := strings.Fields(line)
	switch words[0] {
	case "keys":
		return s.keys()
	case "reservation":
		return s.reservation()
	case "full-status":
		return s.fullStatus()
	case "capabilities":
		return s.capabilities()
	case "restart":
		s.restart()
		return s.condition()
	case "lose-information":
		s.store.err = pr.ErrLost
		s.restart()
		return s.condition()
	case "unreadable":
		s.store.err = os.ErrPermission
		s.restart()
		return s.condition()
	case "readable":
		s.store.err = nil
		if err := s.unit.Reload(); err != nil {
			return []string{err.Error()}
		}
		return s.condition()
	case "nuar":
		s.env.NUAR = true
		return nil
	case "room":
		n, err := strconv.Atoi(words[1])
		require.NoError(s.t, err)
		s.env.MaxRegistrations = n
		return nil
	}
	if a, ok := verbs[words[0]]; ok { // lu-reset, power-cycle, operator-clear
		return s.apply(pr.Op{Action: a})
	}
	from := s.nexus(words[0])
	if !slices.Contains(s.seen, from.Initiator) {
		s.seen = append(s.seen, from.Initiator)
	}
	switch words[1] {
	case "can":
		return s.can(from)
	case "logs-in":
		return nil
	}
	action, ok := verbs[words[1]]
	require.True(s.t, ok, "unknown verb in %q", line)
	op := pr.Op{Action: action, From: from}
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		number := func(base int) uint64 {
			n, err := strconv.ParseUint(value, base, 64)
			require.NoError(s.t, err, line)
			return n
		}
		switch name {
		case "key":
			op.Key = pr.Key(number(16))
		case "new", "victim":
			op.ServiceKey = pr.Key(number(16))
		case "type":
			op.Type = pr.Type(number(16))
		case "scope":
			op.Scope = uint8(number(10))
		case "aptpl":
			op.APTPL = true
		case "all":
			op.AllTargetPorts = true
		case "spec":
			op.SpecIPt = true
			op.Transports = s.transports(value, 28)
		case "to":
			op.Transports = s.transports(value, 24)
		case "port":
			op.RelativePort = uint16(number(10))
		case "unreg":
			op.Unregister = true
		case "bad-length":
			op.BadLength = true
		default:
			require.Fail(s.t, "unknown word", "%q in %q", w, line)
		}
	}
	return s.apply(op)
}

// transports parses "b,c/2": ports by name, "node:b" for format 00b, "junk".
func (s *stage) transports(list string, at uint16) []pr.TransportID {
	var out []pr.TransportID
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		id := pr.TransportID{Offset: at}
		if n, ok := strings.CutPrefix(name, "node:"); ok {
			id.Node = node(n)
		} else if name == "junk" {
			id.Malformed = true
		} else {
			host, isid := s.port(name)
			id.Node, id.Port, id.ISID = node(host), true, isid
		}
		out = append(out, id)
		at += 64
	}
	return out
}

func (s *stage) apply(op pr.Op) []string {
	s.env.InitiatorPorts = s.seen
	out := s.unit.Apply(op, s.env, nil)
	v := out.Verdict
	line := v.String()
	switch {
	case v.OK():
		line += fmt.Sprintf(", generation %d", out.After.Generation)
	case v.Status == pr.InvalidFieldInCDB || v.Status == pr.InvalidFieldInParameterList:
		line += fmt.Sprintf(" at byte %d", v.Pointer.Byte)
		if v.Pointer.Bit != pr.WholeByte {
			line += fmt.Sprintf(" bit %d", v.Pointer.Bit)
		}
	}
	lines := []string{line}
	for _, e := range out.Effects {
		what := e.Kind.String()
		if e.Kind == pr.RaiseUA {
			what = "unit attention " + e.UA.String()
		}
		lines = append(lines, what+": "+pathsOf(e.Nexuses))
	}
	return lines
}

func (s *stage) condition() []string {
	st := s.unit.State()
	return []string{fmt.Sprintf("%v, %d registrations, reservation %v", st.Condition, len(st.Registrations), st.Reservation.Type)}
}

func (s *stage) can(n pr.Nexus) []string {
	r := s.unit.Access().Rights(n)
	var yes []string
	for _, c := range []pr.Class{pr.Always, pr.Status, pr.Persistent, pr.Read, pr.Write} {
		if r.Allows(c) {
			yes = append(yes, className(c))
		}
	}
	if yes == nil {
		return []string{"nothing"}
	}
	return []string{strings.Join(yes, " ")}
}

func (s *stage) keys() []string {
	st := s.unit.State()
	line := fmt.Sprintf("generation %d:", st.Generation)
	for _, k := range st.Keys() {
		line += fmt.Sprintf(" %x", uint64(k))
	}
	return []string{line}
}

func (s *stage) reservation() []string {
	st := s.unit.State()
	k, typ, ok := st.Held()
	if !ok {
		return []string{fmt.Sprintf("generation %d: none", st.Generation)}
	}
	return []string{fmt.Sprintf("generation %d: key %x, type %x %v", st.Generation, uint64(k), uint8(typ), typ)}
}

func (s *stage) fullStatus() []string {
	st := s.unit.State()
	lines := []string{fmt.Sprintf("generation %d", st.Generation)}
	for _, d := range st.FullStatus(s.env.TargetPorts) {
		line := fmt.Sprintf("key %x, %s", uint64(d.Key), pathOf(pr.Nexus{Initiator: d.Initiator, Target: pr.TargetPort(scriptTarget, 1)}))
		if d.AllPorts {
			line += " at all target ports"
		} else {
			line += fmt.Sprintf(" at relative port %d", d.RelativePort)
		}
		if d.Holder {
			line += fmt.Sprintf(", holder of type %x", uint8(d.Type))
		}
		lines = append(lines, line)
	}
	return lines
}

func (s *stage) capabilities() []string {
	c := s.unit.State().Capabilities()
	var b bytes.Buffer
	bit := func(name string, on bool) {
		n := 0
		if on {
			n = 1
		}
		fmt.Fprintf(&b, "%s=%d ", name, n)
	}
	bit("RLR_C", c.ReplaceLost)
	bit("CRH", c.Compatible)
	bit("SIP_C", c.SpecInitiator)
	bit("ATP_C", c.AllTargetPorts)
	bit("PTPL_C", c.PersistCapable)
	bit("PTPL_A", c.PersistActive)
	fmt.Fprintf(&b, "ALLOW COMMANDS=%d types", c.AllowCommands)
	for _, t := range c.Types {
		fmt.Fprintf(&b, " %d", t)
	}
	return []string{b.String()}
}

func scriptTexts(t *testing.T) []string {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	var out []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		out = append(out, string(b))
	}
	return out
}

func containsReason(text string, r pr.Reason) bool {
	return strings.Contains(text, "("+string(r)+")")
}
