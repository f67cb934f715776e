package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what -json writes.
type report struct {
	Date     string            `json:"date"`
	Machine  map[string]string `json:"machine"`
	Versions map[string]string `json:"versions"`
	Setup    map[string]string `json:"setup"`
	Subjects []string          `json:"subjects"`
	Rows     []row             `json:"rows"`
	Samples  []sample          `json:"samples"`
	Scenes   []table           `json:"scenes"`
	Goals    table             `json:"goals"`
}

// table is what is printed. A line with one cell is a heading.
type table struct {
	Title   string     `json:"title"`
	Note    string     `json:"note"`
	Columns []string   `json:"columns"`
	Lines   [][]string `json:"lines"`
}

const baseline = "tgt" // what ratios are taken against

var columns = []string{"", "IOPS", "MB/s", "p50 µs", "p99 µs", "target CPU µs/IO", "client CPU µs/IO", "RSS MiB", "IOPS against tgt", "of the limit"}

// lines returns the cells of the medians, a row of the table per subject.
func (r *report) lines() [][]string {
	table := medians(r.Samples, r.Subjects, r.Rows)
	var out [][]string
	for _, row := range r.Rows {
		of := table[row.Name()]
		out = append(out, []string{row.Name()})
		for _, name := range r.Subjects {
			s, ok := of[name]
			if !ok {
				continue
			}
			if s.Error != "" {
				out = append(out, []string{name, oneLine(s.Error)})
				continue
			}
			ratio, limit := "-", "-"
			if b, ok := of[baseline]; ok && b.Error == "" && b.IOPS > 0 {
				ratio = fmt.Sprintf("%.2f", s.IOPS/b.IOPS)
			}
			if b, ok := of["bare"]; ok && b.Error == "" && b.IOPS > 0 {
				limit = fmt.Sprintf("%.0f %%", 100*s.IOPS/b.IOPS)
			}
			out = append(out, []string{name, fmt.Sprintf("%.0f", s.IOPS), fmt.Sprintf("%.0f", s.MBs),
				fmt.Sprintf("%.0f", s.P50), fmt.Sprintf("%.0f", s.P99), fmt.Sprintf("%.1f", s.CPU),
				fmt.Sprintf("%.1f", s.Client), fmt.Sprintf("%.0f", s.RSS), ratio, limit})
		}
	}
	return out
}

func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// tables are all there is to print.
func (r *report) tables() []table {
	var all []table
	if len(r.Rows) > 0 {
		all = append(all, table{Columns: columns, Lines: r.lines()})
	}
	all = append(all, r.Scenes...)
	if len(r.Goals.Lines) > 0 {
		all = append(all, r.Goals)
	}
	return all
}

func (r *report) text(w io.Writer) error {
	for _, t := range r.tables() {
		if t.Title != "" {
			fmt.Fprintf(w, "\n%s\n%s\n", t.Title, t.Note)
		}
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, strings.Join(t.Columns, "\t"))
		for _, cells := range t.Lines {
			if len(cells) > 1 {
				cells = append([]string{"  " + cells[0]}, cells[1:]...)
			}
			fmt.Fprintln(tw, strings.Join(cells, "\t"))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// The markdown table stands between these lines of the file, whose other text
// is left alone.
const (
	begin = "<!-- bench: begin -->"
	end   = "<!-- bench: end -->"
)

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nMeasured %s: %s; %s. %s.\n\n", begin, r.Date, list(r.Machine), list(r.Versions), list(r.Setup))
	for i, t := range r.tables() {
		if i > 0 {
			b.WriteString("\n")
		}
		if t.Title != "" {
			fmt.Fprintf(&b, "### %s\n\n%s\n\n", t.Title, t.Note)
		}
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.Columns, " | "), strings.Repeat(" --- |", len(t.Columns)))
		for _, cells := range t.Lines {
			if len(cells) == 1 {
				cells = []string{"**" + cells[0] + "**"}
			}
			fmt.Fprintf(&b, "| %s |%s\n", strings.Join(cells, " | "), strings.Repeat(" |", len(t.Columns)-len(cells)))
		}
	}
	b.WriteString("\n" + end)
	return b.String()
}

// intoMarkdown replaces the table in the file.
func (r *report) intoMarkdown(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q to write between", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+r.markdown()+after), 0o644)
}

func (r *report) intoJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func list(of map[string]string) string {
	var parts []string
	for _, key := range sortedKeys(of) {
		parts = append(parts, key+" "+of[key])
	}
	return strings.Join(parts, ", ")
}

// describe fills in where and with what the run was made.
func (r *report) describe(fs string, size int64, d time.Duration, rounds int) {
	r.Date = time.Now().UTC().Format("2006-01-02")
	r.Machine = map[string]string{"CPUs": fmt.Sprint(runtime.NumCPU()), "processor": cpuModel(), "kernel": kernel(), "load average before": loadAverage()}
	r.Versions = map[string]string{"go": runtime.Version(), "tgt": command("tgtd", "--version"), "gotgt": gotgtVersion, "nas-target": revision()}
	r.Setup = map[string]string{"disks": fmt.Sprintf("%d MiB on %s", size>>20, fs), "row": d.String(), "rounds": fmt.Sprint(rounds)}
}

// gotgtVersion is the one test/peers/gotgt/go.mod requires.
const gotgtVersion = "v0.2.2"

func command(name string, args ...string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
	}
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		return "unknown"
	}
	return oneLine(strings.TrimSpace(string(out)))
}

// kernel is the version without what its builder appended.
func kernel() string {
	version, _, _ := strings.Cut(command("uname", "-r"), "-")
	return version
}

// loadAverage tells how busy others kept the machine.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "unknown"
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, ok := strings.Cut(string(b), "model name")
	if !ok {
		return runtime.GOARCH
	}
	return strings.Trim(oneLine(rest), "\t :")
}

func revision() string {
	if out := command("git", "describe", "--always", "--dirty"); out != "unknown" {
		return out
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
