package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	run := flag.String("run", "", "only mutants whose name matches this regular expression")
	list := flag.Bool("list", false, "print the names and stop")
	verbose := flag.Bool("v", false, "show what the tests said")
	flag.Parse()
	if err := hunt(*run, *list, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func hunt(pattern string, listOnly, verbose bool) error {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	all, err := load(filepath.Join(root, "test", "mutants"))
	if err != nil {
		return err
	}
	var chosen []mutant
	for _, m := range all {
		if match.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if listOnly {
		for _, m := range chosen {
			fmt.Printf("%-40s %s\n", m.file, m.name)
		}
		return nil
	}
	h := hunter{root: root, verbose: verbose, sound: map[string]bool{}}
	if h.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	survived, useless := 0, 0
	for _, m := range chosen {
		start := time.Now()
		killed, err := h.try(m)
		verdict := "killed  "
		switch {
		case err != nil:
			verdict = "USELESS "
			useless++
		case !killed:
			verdict = "SURVIVED"
			survived++
		}
		fmt.Printf("%s %5.1fs  %s\n", verdict, time.Since(start).Seconds(), m.name)
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("%d mutants, %d survived, %d useless\n", len(chosen), survived, useless)
	if survived+useless > 0 {
		return fmt.Errorf("%d mutants are not noticed by the tests named for them, %d prove nothing", survived, useless)
	}
	return nil
}

type hunter struct {
	root    string
	dir     string // for mutated files
	verbose bool
	sound   map[string]bool // tests that pass without any mutant
}

// try reports whether the mutant's tests notice it. An error means that it
// proves nothing: it has no place, does not compile, or its tests fail anyway.
func (h *hunter) try(m mutant) (killed bool, err error) {
	if !h.sound[m.test] {
		if out, err := h.test(m.test, ""); err != nil {
			return false, fmt.Errorf("go test %s fails without any mutant: %w\n%s", m.test, err, out)
		}
		h.sound[m.test] = true
	}
	path := filepath.Join(h.root, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	mutated, err := m.apply(string(source))
	if err != nil {
		return false, err
	}
	file, overlay := filepath.Join(h.dir, "mutant.go"), filepath.Join(h.dir, "overlay.json")
	if err := os.WriteFile(file, []byte(mutated), 0o600); err != nil {
		return false, err
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{path: file}})
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		return false, err
	}
	out, err := h.test(m.test, overlay)
	if h.verbose {
		os.Stdout.Write(out)
	}
	if bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")) {
		return false, fmt.Errorf("%s: %q does not compile:\n%s", m.list, m.name, out)
	}
	if err == nil && bytes.Contains(out, []byte("[no tests to run]")) {
		return false, fmt.Errorf("%s: %q: no test matches %s", m.list, m.name, m.test)
	}
	return err != nil, nil
}

// test runs go test. A mutant may loop: what does not end is a failure too.
func (h *hunter) test(args, overlay string) ([]byte, error) {
	cmd := []string{"test", "-count=1", "-p=1", "-failfast", "-timeout=120s"}
	c := exec.Command("go", append(cmd, strings.Fields(args)...)...)
	c.Dir = h.root
	if overlay != "" {
		// In the environment: a test that builds a program builds the mutant.
		flags, err := exec.Command("go", "env", "GOFLAGS").Output()
		if err != nil {
			return nil, err
		}
		c.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(string(flags))+" -overlay="+overlay)
	}
	return c.CombinedOutput()
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("not in a module")
	}
	return filepath.Dir(mod), nil
}
