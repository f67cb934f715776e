package verify

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed report.html
var reportHTML string

// html escapes whatever a target calls itself: names cannot become markup.
var html = template.Must(template.New("report").Funcs(template.FuncMap{
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
	"seconds": func(s float64) string { return fmt.Sprintf("%.2f s", s) },
	"bytes":   func(t Target) string { return fmt.Sprintf("%d blocks of %d bytes", t.Blocks, t.BlockSize) },
}).Parse(reportHTML))

// htmlSuite is a suite of the page.
type htmlSuite struct {
	Name  string
	Count Count
	Cases []Result
}

// HTML writes the report as one page that needs nothing else.
func (r *Report) HTML(w io.Writer) error {
	var list []htmlSuite
	at := map[string]int{}
	for _, c := range r.Cases {
		i, ok := at[c.Suite]
		if !ok {
			i = len(list)
			at[c.Suite] = i
			list = append(list, htmlSuite{Name: c.Suite, Count: r.Suites[c.Suite]})
		}
		list[i].Cases = append(list[i].Cases, c)
	}
	return html.Execute(w, struct {
		*Report
		OK   bool
		List []htmlSuite
	}{r, r.OK(), list})
}
