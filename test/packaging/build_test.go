package packaging

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/daemon"
)

const top = "../.."

// dist is where the tests' packages are built, once.
var dist string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if dist, err = os.MkdirTemp("", "nas-target-dist"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dist)
		return m.Run()
	}())
}

// buildIn runs the build script of the tree at dir.
func buildIn(dir, dist string, args ...string) error {
	cmd := exec.Command("packaging/build", args...)
	cmd.Dir = dir
	// A package of these sources, whatever the state of the checkout.
	cmd.Env = append(os.Environ(), "DIST="+dist, "SOURCE_DATE_EPOCH=1795000000", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("packaging/build %v: %w\n%s", args, err, out)
	}
	return nil
}

var buildDeb = sync.OnceValue(func() error { return buildIn(top, dist, "deb") })

func debName() string { return "nas-target_" + daemon.Version + "-1_" + arch() + ".deb" }

func arch() string {
	out, err := exec.Command("go", "env", "GOARCH").Output()
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(out))
}

// deb builds the Debian package and returns where it is.
func deb(t *testing.T) string {
	t.Helper()
	require.NoError(t, buildDeb())
	return filepath.Join(dist, debName())
}

// program is the nas-target that is in the package.
func program(t *testing.T) string {
	t.Helper()
	deb(t)
	return filepath.Join(dist, "linux_"+arch(), "nas-target")
}

// output runs a program that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out)
}
