package scsi

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

var update = flag.Bool("update", false, "write testdata anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("%s differs from line %d on; if this is meant, run: go test ./internal/scsi -run Golden -update\n have %q\n want %q",
				path, i+1, g[min(i, len(g)-1)], w[min(i, len(w)-1)])
		}
	}
}

var classNames = map[pr.Class]string{
	pr.Unclassified: "unclassified", pr.Write: "write", pr.Read: "read", pr.Status: "status", pr.Always: "always", pr.Persistent: "persistent",
}

var flagNames = []string{
	"no-ua", "any-lun", "writes", "slow", "control", "standby", "unavailable", "transition", "while-sanitize", "without-pr", "any-length", "after-erase",
}

func (f Flags) names() string {
	var n []string
	for i, s := range flagNames {
		if f&(1<<i) != 0 {
			n = append(n, s)
		}
	}
	return strings.Join(n, ",")
}

// The whole command set on one page, for the eyes of a reviewer.
func TestGoldenOpcodes(t *testing.T) {
	require.Equal(t, Flags(1)<<len(flagNames), lastFlag<<1, "flagNames lists every flag")
	var b bytes.Buffer
	for _, r := range Commands() {
		class := classNames[r.Access]
		if r.AccessOf != nil {
			class = "by-cdb"
		}
		op := fmt.Sprintf("%02x", r.Op)
		if r.HasSA {
			op += fmt.Sprintf("/%02x", r.SA)
		}
		fmt.Fprintf(&b, "%-6s %s\n       access=%s dir=%d flags=%s class=%s timeout=%ds\n       usage  %s\n",
			op, r.Name, class, r.Dir, r.Flags.names(), r.Class, r.timeout(), hex.EncodeToString(r.usage[:r.size]))
		if r.Ignore != "" {
			fmt.Fprintf(&b, "       ignore %s\n", hex.EncodeToString(r.ignore[:r.size]))
		}
	}
	golden(t, "opcodes.golden", b.Bytes())
}

// Every page of INQUIRY and MODE SENSE, as an initiator gets them.
func TestGoldenPages(t *testing.T) {
	l := newBench(t)
	var b bytes.Buffer
	fmt.Fprintf(&b, "INQUIRY\n%s", hex.Dump(l.in("12 00 00 ff ff 00")))
	for _, p := range vpdPages {
		if p.of(l.unit) {
			fmt.Fprintf(&b, "\nVPD %02x %s\n%s", p.Code, p.Name, hex.Dump(l.in(fmt.Sprintf("12 01 %02x ff ff 00", p.Code))))
		}
	}
	for _, p := range modePages {
		require.True(t, p.of(l.unit.conf.Load()))
		get := func(control int) string {
			return hex.Dump(l.in(fmt.Sprintf("5a 08 %02x %02x 00 00 00 ff ff 00", control<<6|int(p.Page), p.Sub))[8:])
		}
		fmt.Fprintf(&b, "\nMODE %02x/%02x %s\n%schangeable\n%s", p.Page, p.Sub, p.Name, get(0), get(1))
	}
	golden(t, "pages.golden", b.Bytes())
}

// A row without an access class would refuse everybody under any reservation;
// a reader must see that somebody thought about it.
func TestEveryCommandIsClassified(t *testing.T) {
	for _, r := range Commands() {
		require.True(t, r.Access != pr.Unclassified || r.AccessOf != nil, r.Name)
	}
}
