package policy

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type listed struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string
}

func (p listed) rel() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// packages asks the go command what is in the module, files of every build
// tag the default build uses.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
	require.NotEmpty(t, all)
	return all
}

func TestImportsFollowTheLayers(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		for _, complaint := range judge(p.rel(), p.Imports) {
			t.Error(complaint)
		}
		if _, ok := layers[p.rel()]; ok {
			seen++
		}
	}
	require.NotZero(t, seen, "none of the packages in the table exists: the table describes another tree")
}

// judge says what is wrong with the direct imports of one package.
func judge(rel string, imports []string) []string {
	var bad []string
	helper := isHelper(rel)
	allowed, known := layers[rel]
	if !known && !helper && !underCmd(rel) {
		bad = append(bad, rel+": not in the table of layers: decide what it may import before it imports anything")
	}
	if underCmd(rel) && !known {
		allowed = layers["cmd/nas-target"]
	}
	for _, imp := range imports {
		ours, isOurs := strings.CutPrefix(imp, module+"/")
		switch {
		case isOurs && isHelper(ours) && !helper:
			bad = append(bad, rel+" imports "+ours+", which is for tests")
		case isOurs && !helper && !slices.Contains(allowed, ours):
			bad = append(bad, rel+" may not import "+ours+": it may import "+strings.Join(allowed, ", "))
		case isOurs:
		case strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
			bad = append(bad, fenced(rel, imp, fences, true)...)
		default:
			bad = append(bad, fenced(rel, imp, stdFences, false)...)
			if slices.Contains(pure[rel], imp) {
				bad = append(bad, rel+" imports "+imp+": it is a pure core, functions of values")
			}
		}
	}
	return bad
}

func underCmd(rel string) bool { return strings.HasPrefix(rel, "cmd/") }

func fenced(rel, imp string, rows []fence, mustMatch bool) []string {
	if isHelper(rel) {
		return nil
	}
	for _, f := range rows {
		if imp != f.prefix && !strings.HasPrefix(imp, f.prefix+"/") {
			continue
		}
		if slices.Contains(f.only, rel) || underCmd(rel) && slices.Contains(f.only, "cmd/nas-target") {
			return nil
		}
		return []string{rel + " may not import " + imp + ": " + f.why}
	}
	if mustMatch {
		return []string{rel + " imports " + imp + ", which no row of the table knows"}
	}
	return nil
}

// The rules themselves: each must be able to fail.
func TestJudgeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		rel     string
		imports []string
		want    string
	}{
		"against the flow":       {"internal/pr", []string{module + "/internal/scsi"}, "may not import internal/scsi"},
		"unknown package":        {"internal/brand-new", nil, "not in the table"},
		"viper outside config":   {"internal/daemon", []string{"github.com/spf13/viper"}, "plain struct"},
		"metrics on the path":    {"internal/scsi", []string{"github.com/prometheus/client_golang/prometheus"}, "does not know who counts"},
		"zap on the path":        {"internal/iscsi", []string{"go.uber.org/zap"}, "does not know who writes"},
		"testing in the product": {"internal/backstore", []string{"testing"}, "grew a test"},
		"testify in the product": {"internal/backstore", []string{"github.com/stretchr/testify/require"}, "testing library"},
		"helper in the product":  {"internal/daemon", []string{module + "/internal/backstore/backtest"}, "for tests"},
		"unknown library":        {"internal/daemon", []string{"example.org/left-pad"}, "no row"},
		"clock in the rules":     {"internal/pr", []string{"time"}, "pure core"},
		"engine from gotgt":      {"internal/config", []string{"github.com/gostor/gotgt/pkg/scsi"}, "no row"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(c.rel, c.imports)
			require.Len(t, got, 1)
			require.Contains(t, got[0], c.want)
		})
	}
	require.Empty(t, judge("internal/scsi", []string{module + "/internal/pr", "sync/atomic"}))
	require.Empty(t, judge("internal/config/importer", []string{"github.com/gostor/gotgt/pkg/config"}))
}
