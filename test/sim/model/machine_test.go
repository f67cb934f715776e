package model

import (
	"fmt"
	"os"
	"slices"
	"time"

	"pgregory.net/rapid"

	"nas-target/internal/initiator"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/test/sim"
	"nas-target/test/sim/rules"
)

// machine is a target and what we think of it.
type machine struct {
	t   *rapid.T
	bed *sim.Bed

	store *prstore.File
	dir   string
	boot  int // of the host

	state   rules.State
	tas     bool
	lives   [rules.Nexuses]life
	content [blocks]uint32
	wrote   uint32
}

// life is what we know of one nexus.
type life struct {
	host sim.Host // nil: not logged in
	seen bool     // logged in since the start of the daemon
	ua   []initiator.ASC
	held *heldWrite
}

// heldWrite is a write whose data the target waits for.
type heldWrite struct {
	run   sim.Running
	block int
	value uint32
}

const blocks = 4

// Unit attentions of the reset family, which go before a conflict.
const (
	uaPowerOn   = initiator.ASCPowerOnOrReset
	uaReset     = initiator.ASCBusDeviceReset
	uaNexusLoss = initiator.ASCNexusLoss
)

func newMachine(t *rapid.T, wire bool) *machine {
	m := &machine{t: t, state: rules.New()}
	c := sim.Config{Wire: wire, Ports: rules.Ports, Blocks: 64}
	if rapid.Bool().Draw(t, "on disk") {
		dir, err := os.MkdirTemp("", "model")
		must(t, err)
		m.dir = dir
		c.Store = m.openStore()
	} else {
		c.Store = new(prstore.Mem)
	}
	m.bed = sim.NewBed(c)
	return m
}

// openStore opens the reservation files in the current boot of the host.
func (m *machine) openStore() pr.Store {
	s, err := prstore.Open(prstore.Options{Dir: m.dir, BootID: fmt.Sprint("boot ", m.boot), MaxRegistrations: 32})
	must(m.t, err)
	must(m.t, s.Attach(sim.UnitID, prstore.Expect{Exists: m.store != nil}))
	m.store = s
	return s
}

func (m *machine) close() {
	m.bed.Close()
	if m.dir != "" {
		m.store.Close()
		os.RemoveAll(m.dir)
	}
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// tell queues a unit attention. SAM-5 5.14: one of a kind, the reset family
// first and by precedence.
func (l *life) tell(asc initiator.ASC) {
	if l.host == nil || slices.Contains(l.ua, asc) {
		return // a nexus that is not there learns of it by its login
	}
	at := len(l.ua)
	if rank(asc) < ordinary {
		for at = 0; at < len(l.ua) && rank(l.ua[at]) <= rank(asc); at++ {
		}
	}
	l.ua = slices.Insert(l.ua, at, asc)
}

const ordinary = 9

func rank(asc initiator.ASC) int {
	if i := slices.Index([]initiator.ASC{uaPowerOn, uaReset, uaNexusLoss}, asc); i >= 0 {
		return i
	}
	return ordinary
}

// prediction is how a command ends.
type prediction struct {
	ua     initiator.ASC // 0: none
	result rules.Result
}

func (p prediction) String() string {
	if p.ua != 0 {
		return fmt.Sprintf("unit attention %04x", uint16(p.ua))
	}
	return fmt.Sprintf("result %06x", uint32(p.result))
}

// fits compares a prediction with an answer.
func (p prediction) fits(a sim.Answer) bool {
	switch {
	case p.ua != 0:
		got, ok := a.UA()
		return ok && got == p.ua
	case p.result == rules.Good:
		return a.Good()
	case p.result == rules.Conflict:
		return a.Conflict() && len(a.SenseData) == 0
	}
	return a.Is(initiator.CheckCondition) && uint32(p.result) == uint32(a.Sense.Key)<<16|uint32(a.Sense.ASC)
}

// admit predicts whether a command gets through: reset unit attentions,
// conflict, other unit attentions. It takes the one that is reported away.
func (m *machine) admit(n rules.Nexus, k rules.Kind) (p prediction, through bool) {
	l := &m.lives[n]
	if len(l.ua) > 0 && rank(l.ua[0]) < ordinary || len(l.ua) > 0 && m.state.Allows(n, k) {
		p.ua = l.ua[0]
		l.ua = l.ua[1:]
		return p, false
	}
	if !m.state.Allows(n, k) {
		p.result = rules.Conflict
		return p, false
	}
	return p, true
}

// run sends a command and compares. then is called when it gets through, and
// predicts its result.
func (m *machine) run(n rules.Nexus, k rules.Kind, c initiator.Cmd, then func() rules.Result) (a sim.Answer, good bool) {
	m.t.Helper()
	p, through := m.admit(n, k)
	if through {
		p.result = then()
	}
	a = sim.Do(m.lives[n].host, c)
	if !p.fits(a) {
		m.t.Fatalf("%d.%d sends % x: want %v, got %v (%v)\nstate %v", n.Initiator(), n.Port(), c.CDB, p, a, a.Sense, m.state)
	}
	return a, p.ua == 0 && p.result == rules.Good
}

func succeeds() rules.Result { return rules.Good }

// out runs a PERSISTENT RESERVE OUT.
func (m *machine) out(n rules.Nexus, r rules.Request, c initiator.Cmd) {
	m.t.Helper()
	var effects rules.Answer
	m.run(n, rules.PRCommand, c, func() rules.Result {
		m.state, effects = m.state.Out(n, r)
		return effects.Result
	})
	for _, asc := range []uint16{rules.Preempted, rules.RegistrationPreempted, rules.Released} {
		for v := range rules.Nexus(rules.Nexuses) {
			if effects.Tell[asc].Has(v) {
				m.lives[v].tell(initiator.ASC(asc))
			}
		}
	}
	for v := range rules.Nexus(rules.Nexuses) {
		if effects.Abort.Has(v) {
			m.abort(v, v != n)
		}
	}
}

// abort predicts and sees the end of a nexus's held write. foreign: by another
// nexus, who says so by TASK ABORTED or by a unit attention.
func (m *machine) abort(n rules.Nexus, foreign bool) {
	l := &m.lives[n]
	if l.held == nil {
		return
	}
	told := foreign && m.tas
	if foreign && !told {
		l.tell(initiator.ASCCommandsClearedByOther)
	}
	h := l.held
	l.held = nil
	if !told {
		m.bury(l, h)
		return
	}
	h.run.Release() // the answer comes once the data that were asked for have
	a := m.end(h)
	if !a.Is(initiator.TaskAborted) {
		m.t.Fatalf("TAS is set, and an aborted write of %d.%d ended with %v", n.Initiator(), n.Port(), a)
	}
}

// bury sends the data of a write that is dead, and sees that it is.
func (m *machine) bury(l *life, h *heldWrite) {
	h.run.Release()
	l.host.Settle()
	if a := m.end(h); a.Fate == sim.Answered {
		m.t.Fatalf("a write that was ended without a word ended with %v", a)
	}
}

func (m *machine) end(h *heldWrite) sim.Answer {
	select {
	case <-h.run.Done():
		return h.run.Answer()
	case <-time.After(10 * time.Second):
		m.t.Fatalf("a held write never ended")
		panic("unreachable")
	}
}

// gone predicts what the end of a nexus's session entails.
func (m *machine) gone(n rules.Nexus) {
	l := &m.lives[n]
	l.host, l.ua = nil, nil
	if l.held != nil {
		if a := m.end(l.held); a.Fate != sim.Lost && a.Fate != sim.Aborted {
			m.t.Fatalf("the session of %d.%d is gone, and its write ended with %v", n.Initiator(), n.Port(), a)
		}
		l.held = nil
	}
	if m.state.Legacy == n {
		m.state = m.state.NexusLoss(n)
		// The target learns of a pulled cable when it learns of it.
		for end := time.Now().Add(10 * time.Second); m.bed.Unit.Reservations().State().Legacy != (pr.Nexus{}); {
			if time.Now().After(end) {
				m.t.Fatalf("RESERVE(6) of a nexus that is gone stays")
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
}
