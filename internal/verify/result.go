package verify

import "time"

// Verdict is how a case ended.
type Verdict string

// Verdicts, see the package's comment.
const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"
	Errored Verdict = "error"
	Skipped Verdict = "skipped"
)

// Step is one exchange with the target, or a word between two of them.
type Step struct {
	Nexus   string        `json:"nexus,omitempty"` // A, B, …; empty: a remark
	Did     string        `json:"did"`
	Got     string        `json:"got,omitempty"`
	Want    string        `json:"want,omitempty"` // empty: not judged
	Wrong   bool          `json:"wrong,omitempty"`
	Elapsed time.Duration `json:"-"`
	Seconds float64       `json:"seconds,omitempty"`
}

// Result is what became of a case.
type Result struct {
	ID          string  `json:"id"`
	Suite       string  `json:"suite"`
	Title       string  `json:"title"`
	Clause      string  `json:"clause"`
	Level       Level   `json:"level"`
	Destructive bool    `json:"destructive"`
	Expected    string  `json:"expected"`
	Verdict     Verdict `json:"verdict"`
	Reason      string  `json:"reason,omitempty"` // of every verdict but pass
	Seconds     float64 `json:"seconds"`
	Steps       []Step  `json:"steps,omitempty"`
}

// Target is who was asked.
type Target struct {
	URLs        []string `json:"urls"` // without secrets
	Name        string   `json:"name"`
	LUN         uint16   `json:"lun"`
	Vendor      string   `json:"vendor"`
	Product     string   `json:"product"`
	Revision    string   `json:"revision"`
	Designators []string `json:"designators"` // of the logical unit
	Blocks      uint64   `json:"blocks"`
	BlockSize   int      `json:"block_size"`
}

// Count is how many cases ended in each way.
type Count struct {
	Pass    int `json:"pass"`
	Fail    int `json:"fail"`
	Error   int `json:"error"`
	Skipped int `json:"skipped"`
}

func (c *Count) add(v Verdict) {
	switch v {
	case Pass:
		c.Pass++
	case Fail:
		c.Fail++
	case Errored:
		c.Error++
	case Skipped:
		c.Skipped++
	}
}

// Report is a whole run.
type Report struct {
	Target   Target           `json:"target"`
	Began    time.Time        `json:"began"`
	Seconds  float64          `json:"seconds"`
	Range    string           `json:"range,omitempty"`   // the blocks that were written
	Stopped  string           `json:"stopped,omitempty"` // why it ended early
	Notes    []string         `json:"notes,omitempty"`
	Required Count            `json:"required"`
	Rest     Count            `json:"rest"` // recommended and optional
	Suites   map[string]Count `json:"suites"`
	Cases    []Result         `json:"cases"`
}

func (r *Report) add(res Result) {
	r.Cases = append(r.Cases, res)
	if res.Level == Required {
		r.Required.add(res.Verdict)
	} else {
		r.Rest.add(res.Verdict)
	}
	c := r.Suites[res.Suite]
	c.add(res.Verdict)
	r.Suites[res.Suite] = c
}

// OK says that nothing that is required went wrong, and that the run came to
// its end. What was skipped is neither right nor wrong.
func (r *Report) OK() bool {
	return r.Stopped == "" && r.Required.Fail == 0 && r.Required.Error == 0
}
