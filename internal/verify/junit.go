package verify

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The XML that JUnit made common, as CI servers read it.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Failure *junitReason `xml:"failure"`
	Error   *junitReason `xml:"error"`
	Skipped *junitReason `xml:"skipped"`
	Output  string       `xml:"system-out,omitempty"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes the report for a CI server. A failure of what is not required
// is reported as skipped there: such a server knows no third colour.
func (r *Report) JUnit(w io.Writer) error {
	all := junitSuites{Name: "nas-target verify " + strings.Join(r.Target.URLs, " "), Time: seconds(r.Seconds)}
	at := map[string]int{}
	for _, c := range r.Cases {
		i, ok := at[c.Suite]
		if !ok {
			i = len(all.Suites)
			at[c.Suite] = i
			all.Suites = append(all.Suites, junitSuite{Name: c.Suite, Timestamp: r.Began.UTC().Format(time.DateTime)})
		}
		s := &all.Suites[i]
		jc := junitCase{Class: c.Suite, Name: c.ID, Time: seconds(c.Seconds)}
		reason := &junitReason{Message: c.Reason, Type: string(c.Level), Text: c.explain()}
		s.Tests++
		switch {
		case c.Verdict == Pass:
		case c.Verdict == Skipped:
			jc.Skipped = &junitReason{Message: c.Reason}
			s.Skipped++
		case c.Level != Required:
			jc.Skipped = &junitReason{Message: fmt.Sprintf("%s, but %s: %s", c.Verdict, c.Level, c.Reason)}
			jc.Output = c.explain()
			s.Skipped++
		case c.Verdict == Fail:
			jc.Failure = reason
			s.Failures++
		default:
			jc.Error = reason
			s.Errors++
		}
		s.Cases = append(s.Cases, jc)
	}
	for i := range all.Suites {
		s := &all.Suites[i]
		all.Tests, all.Failures = all.Tests+s.Tests, all.Failures+s.Failures
		all.Errors, all.Skipped = all.Errors+s.Errors, all.Skipped+s.Skipped
		s.Time = seconds(sum(s.Cases, r.Cases))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// sum adds up the time of a suite's cases.
func sum(cases []junitCase, all []Result) float64 {
	var s float64
	for _, r := range all {
		if len(cases) > 0 && r.Suite == cases[0].Class {
			s += r.Seconds
		}
	}
	return s
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// explain writes clause, demand and record.
func (c *Result) explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s: %s\n", c.Title, c.Clause, c.Expected)
	if c.Reason != "" {
		fmt.Fprintf(&b, "%s: %s\n", c.Verdict, c.Reason)
	}
	for _, s := range c.Steps {
		b.WriteString(s.Line() + "\n")
	}
	return b.String()
}

// Line writes a step for people.
func (s Step) Line() string {
	if s.Nexus == "" && s.Got == "" {
		mark := "  # "
		if s.Wrong {
			mark = "! # "
		}
		return mark + s.Did
	}
	mark := " "
	if s.Wrong {
		mark = "!"
	}
	line := mark + " " + s.Nexus + ": " + s.Did
	if s.Got != "" {
		line += " → " + s.Got
	}
	if s.Wrong && s.Want != "" {
		line += ", must be " + s.Want
	}
	return line
}
