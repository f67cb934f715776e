package prstore

import (
	"sync"

	"nas-target/internal/pr"
)

// Mem is a pr.Store that forgets with the process: for volatile units and for
// tests. The zero value is ready; it knows every unit.
type Mem struct {
	mu    sync.Mutex
	units map[string]memUnit
}

type memUnit struct {
	state pr.State
	rev   pr.Revision
}

// Load is pr.Store.
func (m *Mem) Load(unit string) (pr.State, pr.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.units[unit]
	return u.state, u.rev, nil
}

// Save is pr.Store.
func (m *Mem) Save(unit string, s pr.State, from pr.Revision) (pr.Revision, error) {
	if err := s.Check(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.units[unit].rev != from {
		return 0, pr.ErrStale
	}
	s.Legacy, s.Condition = pr.Nexus{}, pr.Normal
	if m.units == nil {
		m.units = map[string]memUnit{}
	}
	m.units[unit] = memUnit{s, from + 1}
	return from + 1, nil
}

// PowerCycle does to every unit what a loss of power does.
func (m *Mem) PowerCycle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, u := range m.units {
		u.state = u.state.AfterPowerCycle()
		m.units[name] = u
	}
}
