package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"nas-target/internal/plain"
)

// width is what a table fits into, in characters.
const width = 80

// table is columns of text for people. Where a row is wider than the screen,
// the columns marked as soft give way: their middle becomes an ellipsis.
type table struct {
	soft map[int]bool
	rows [][]string
}

// newTable starts a table with a header; soft names the columns that may be
// shortened, by their header.
func newTable(header []string, soft ...string) *table {
	t := &table{soft: map[int]bool{}, rows: [][]string{header}}
	for i, h := range header {
		for _, s := range soft {
			if h == s {
				t.soft[i] = true
			}
		}
	}
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = plain.Text(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// minSoft is what is left of a soft column at least.
const minSoft = 8

// print writes the table behind indent, without blanks at the ends of lines.
func (t *table) print(w io.Writer, indent string) {
	widths := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	const gap = "  "
	over := utf8.RuneCountInString(indent) + len(gap)*(len(widths)-1) - width
	for _, n := range widths {
		over += n
	}
	for over > 0 {
		widest := -1
		for i, n := range widths {
			if t.soft[i] && n > minSoft && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		over--
	}
	for _, r := range t.rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, c := range r {
			c = shorten(c, widths[i])
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)) + gap)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// shorten takes out the middle of a text that has more than n characters: names
// differ at their ends.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	head := (n - 1) / 3
	return string(r[:head]) + "…" + string(r[len(r)-(n-1-head):])
}

// wrap writes text in lines that fit the screen, the first behind first, the
// others behind as many blanks.
func wrap(w io.Writer, first, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(first))
	line, length := first, utf8.RuneCountInString(first)
	start := true
	for _, word := range strings.Fields(plain.Line(text)) {
		n := utf8.RuneCountInString(word)
		if !start && length+1+n > width {
			fmt.Fprintln(w, line)
			line, length, start = indent, len(indent), true
		}
		if !start {
			line += " "
			length++
		}
		line += word
		length += n
		start = false
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// when writes a moment as people say it on the day of now.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.In(now.Location())
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format("15:04:05")
	case t.Year() == now.Year():
		return t.Format("Jan _2 15:04")
	}
	return t.Format("2006-01-02")
}

// ago writes the time since t in its largest unit.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return fmt.Sprintf("%d seconds", max(0, int(d.Seconds())))
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// short writes a number in at most four characters.
func short(f float64) string {
	units := []string{"", "k", "M", "G", "T"}
	i := 0
	for f >= 999.5 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i > 0 && f < 9.95 {
		return fmt.Sprintf("%.1f%s", f, units[i])
	}
	return fmt.Sprintf("%.0f%s", f, units[i])
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
