package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"nas-target/internal/pr"
)

// mark remembers, beside the identity of a LUN, how far its reservation file
// has come, so that an older copy that was put in its place while the daemon was
// down is not taken for the truth: whom it shows as registered may have been
// fenced since.
//
// It is written after the state it stands for was saved, aside: no command
// waits for it. After a crash it may be behind, never ahead.
type mark struct {
	path   string
	failed func(error)

	writing sync.WaitGroup
	mu      sync.Mutex
	want    pr.Revision
	running bool
}

const markName = "reservations"

func (d *Daemon) markOf(id *identity) *mark {
	return &mark{path: filepath.Join(id.dir, markName), failed: func(err error) { d.news.markFailed(id.Name, err) }}
}

// read returns what is remembered: whether there is a file, and its revision.
func (m *mark) read() (made bool, rev pr.Revision, err error) {
	b, err := os.ReadFile(m.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, 0, nil
	}
	text := strings.TrimSpace(string(b))
	if err != nil || text == "" { // as written before revisions were
		return true, 0, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return true, 0, fmt.Errorf("%s: %w", m.path, err)
	}
	return true, pr.Revision(n), nil
}

func (m *mark) write(rev pr.Revision) error {
	return replaceFile(m.path, fmt.Appendln(nil, uint64(rev)))
}

// note has rev written down soon.
func (m *mark) note(rev pr.Revision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev <= m.want {
		return
	}
	m.want = rev
	if !m.running {
		m.running = true
		m.writing.Go(m.catchUp)
	}
}

// catchUp writes until the newest revision is written. One that cannot be
// written is no reason to refuse a reservation: the next one tries again.
func (m *mark) catchUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for done := pr.Revision(0); done != m.want; {
		rev := m.want
		m.mu.Unlock()
		err := m.write(rev)
		m.mu.Lock()
		if err != nil {
			m.failed(err)
			break
		}
		done = rev
	}
	m.running = false
}

// wait returns when all that was noted is written, or has failed.
func (m *mark) wait() { m.writing.Wait() }

// marked is a store that notes how far it has come.
type marked struct {
	pr.Store
	mark *mark
}

func (s *marked) Load(unit string) (pr.State, pr.Revision, error) {
	state, rev, err := s.Store.Load(unit)
	if err == nil {
		s.mark.note(rev)
	}
	return state, rev, err
}

func (s *marked) Save(unit string, state pr.State, from pr.Revision) (pr.Revision, error) {
	rev, err := s.Store.Save(unit, state, from)
	if err == nil {
		s.mark.note(rev)
	}
	return rev, err
}
