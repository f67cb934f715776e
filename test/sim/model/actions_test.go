package model

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/initiator"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/test/sim"
	"nas-target/test/sim/rules"
)

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	require.NoError(t, flag.Set(name, value))
	t.Cleanup(func() { flag.Set(name, before) })
}

// TestLives is L3 of the proofs: G24, I5, I6, I7, I8, I9.
func TestLives(t *testing.T) {
	for _, w := range []struct {
		name  string
		wire  bool
		size  string
		lives int
	}{{"direct", false, "MODEL_LIVES", 150}, {"wire", true, "MODEL_WIRE_LIVES", 15}} {
		t.Run(w.name, func(t *testing.T) {
			n := sim.Size(t, w.size, w.lives)
			setFlag(t, "rapid.checks", fmt.Sprint(n))
			setFlag(t, "rapid.shrinktime", "10s")
			setFlag(t, "rapid.nofailfile", "true") // the seed is printed
			setFlag(t, "rapid.steps", fmt.Sprint(sim.Size(t, "MODEL_STEPS", 50)))
			rapid.Check(t, func(t *rapid.T) {
				m := newMachine(t, w.wire)
				defer m.close()
				m.login(0)
				if rapid.Bool().Draw(t, "TAS") {
					m.setTAS()
				}
				t.Repeat(m.actions())
				m.readAll()
				if v := m.bed.Violations(); len(v) > 0 {
					t.Fatalf("%v", v)
				}
			})
			sim.Bound(t, "lives", n)
		})
	}
}

// actions are what may happen, and how often: a name is drawn, so frequent
// things stand several times.
func (m *machine) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){}
	add := func(weight int, name string, f func(*rapid.T)) {
		for i := range weight {
			all[fmt.Sprint(name, " ", i)] = func(t *rapid.T) {
				m.t = t
				f(t)
			}
		}
	}
	add(4, "log in", m.actLogin)
	add(1, "log out", m.actLogout)
	add(1, "cut", m.actCut)
	add(5, "register", m.actRegister)
	add(4, "reserve", m.actReserve)
	add(2, "release", m.actRelease)
	add(1, "clear", m.actClear)
	add(5, "preempt", m.actPreempt)
	add(2, "move", m.actMove)
	add(1, "replace lost", m.actReplaceLost)
	add(1, "reserve 6", m.actReserve6)
	add(1, "release 6", m.actRelease6)
	add(3, "write", m.actWrite)
	add(2, "read", m.actRead)
	add(2, "hold a write", m.actHold)
	add(2, "send held data", m.actRelease0)
	add(1, "reset", m.actReset)
	add(1, "clear task set", m.actClearTaskSet)
	add(1, "abort task set", m.actAbortTaskSet)
	add(2, "read keys", m.actReadKeys)
	add(2, "read reservation", m.actReadReservation)
	add(2, "read full status", m.actReadFullStatus)
	add(1, "report capabilities", m.actCapabilities)
	add(2, "take attentions", m.actAttentions)
	add(1, "restart", m.actRestart)
	return all
}

// someone draws a nexus that is logged in.
func (m *machine) someone(t *rapid.T) rules.Nexus {
	var here []rules.Nexus
	for n := range rules.Nexus(rules.Nexuses) {
		if m.lives[n].host != nil {
			here = append(here, n)
		}
	}
	if len(here) == 0 {
		n := rules.Nexus(rapid.IntRange(0, rules.Nexuses-1).Draw(t, "first"))
		m.login(n)
		return n
	}
	return rapid.SampledFrom(here).Draw(t, "who")
}

func (m *machine) login(n rules.Nexus) {
	l := &m.lives[n]
	fresh, err := m.bed.Login(sim.Member(n.Initiator(), n.Port()))
	must(m.t, err)
	if l.host != nil {
		m.gone(n) // RFC 7143 §6.3.5: reinstatement
	}
	l.host = fresh
	if l.seen {
		l.tell(uaNexusLoss)
	} else {
		l.tell(uaPowerOn)
	}
	l.seen = true
}

func (m *machine) actLogin(t *rapid.T) {
	m.login(rules.Nexus(rapid.IntRange(0, rules.Nexuses-1).Draw(t, "who")))
}

func (m *machine) actLogout(t *rapid.T) {
	n := m.someone(t)
	m.lives[n].host.Logout()
	m.gone(n)
}

func (m *machine) actCut(t *rapid.T) {
	n := m.someone(t)
	m.lives[n].host.Cut()
	m.gone(n)
}

// setTAS makes nexus 0, alone at the unit, set TAS.
func (m *machine) setTAS() {
	h := m.lives[0].host
	m.lives[0].ua = nil
	r := sim.Must(h, initiator.ModeSense10(initiator.ModeCurrent, initiator.PageControl, 0, true, false, 256))
	page := slices.Clone(r.Data[8:])
	page[0] &^= 0x80
	page[5] |= 0x40
	sim.Must(h, initiator.ModeSelect10(true, false, append(make([]byte, 8), page...)))
	m.tas = true
}

// keys are few, so that they are shared.
func drawKey(t *rapid.T, label string) uint64 {
	return rapid.SampledFrom([]uint64{1, 1, 2, 2, 3, 0}).Draw(t, label)
}

// ownKey draws the RESERVATION KEY: most often the right one.
func (m *machine) ownKey(t *rapid.T, n rules.Nexus) uint64 {
	if rapid.IntRange(0, 9).Draw(t, "wrong key") == 0 {
		return drawKey(t, "key")
	}
	return m.state.Key[n]
}

// drawType draws a type, now and then one that is none.
func drawType(t *rapid.T) uint8 {
	return rapid.SampledFrom([]uint8{1, 3, 5, 5, 5, 6, 6, 7, 8, 1, 3, 5, 6, 7, 8, 0, 2, 4, 9, 15}).Draw(t, "type")
}

func drawScope(t *rapid.T) uint8 {
	return rapid.SampledFrom([]uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 2}).Draw(t, "scope")
}

// basic encodes a request with the basic parameter list.
func basic(r rules.Request) initiator.Cmd {
	p := initiator.PRParams{Key: r.Key, ServiceKey: r.Service, APTPL: r.APTPL, AllPorts: r.AllPorts}
	for _, i := range r.Spec {
		p.SpecIPT = append(p.SpecIPT, sim.Member(i, 0).PortID())
	}
	return initiator.PROut(initiator.PROutAction(r.Action), r.Scope, initiator.PRType(r.Type), p.Marshal())
}

func (m *machine) actRegister(t *rapid.T) {
	n := m.someone(t)
	r := rules.Request{
		Action:  rapid.SampledFrom([]int{rules.Register, rules.RegisterAndIgnore}).Draw(t, "action"),
		Key:     m.ownKey(t, n),
		Service: drawKey(t, "new key"),
		Scope:   drawScope(t), Type: drawType(t), // both are ignored
		APTPL:    rapid.Bool().Draw(t, "APTPL"),
		AllPorts: rapid.IntRange(0, 5).Draw(t, "ALL_TG_PT") == 0,
	}
	if rapid.IntRange(0, 7).Draw(t, "SPEC_I_PT") == 0 {
		r.Spec = rapid.SliceOfNDistinct(rapid.IntRange(0, rules.Initiators-1), 1, 3, rapid.ID[int]).Draw(t, "ports")
	}
	m.out(n, r, basic(r))
}

func (m *machine) actReserve(t *rapid.T) {
	n := m.someone(t)
	r := rules.Request{Action: rules.Reserve, Key: m.ownKey(t, n), Type: drawType(t), Scope: drawScope(t)}
	m.out(n, r, basic(r))
}

func (m *machine) actRelease(t *rapid.T) {
	n := m.someone(t)
	r := rules.Request{Action: rules.Release, Key: m.ownKey(t, n), Type: m.state.Type}
	if rapid.IntRange(0, 4).Draw(t, "other type") == 0 {
		r.Type = drawType(t)
	}
	m.out(n, r, basic(r))
}

func (m *machine) actClear(t *rapid.T) {
	n := m.someone(t)
	r := rules.Request{Action: rules.Clear, Key: m.ownKey(t, n), Type: drawType(t), Scope: drawScope(t)}
	m.out(n, r, basic(r))
}

func (m *machine) actPreempt(t *rapid.T) {
	n := m.someone(t)
	r := rules.Request{
		Action: rapid.SampledFrom([]int{rules.Preempt, rules.PreemptAndAbort}).Draw(t, "action"),
		Key:    m.ownKey(t, n), Service: drawKey(t, "victim"), Type: drawType(t), Scope: drawScope(t),
	}
	m.out(n, r, basic(r))
}

func (m *machine) actMove(t *rapid.T) {
	n := m.someone(t)
	if m.state.Type != 0 && m.state.Holder != rules.None && m.lives[m.state.Holder].host != nil && rapid.Bool().Draw(t, "by the holder") {
		n = m.state.Holder
	}
	r := rules.Request{
		Action: rules.RegisterAndMove, Key: m.ownKey(t, n), Service: drawKey(t, "new key"),
		APTPL: rapid.Bool().Draw(t, "APTPL"), Unreg: rapid.Bool().Draw(t, "UNREG"),
		To: rules.Nexus(rapid.IntRange(0, rules.Nexuses-1).Draw(t, "to")),
	}
	m.out(n, r, initiator.PROut(initiator.PRRegisterAndMove, 0, 0, initiator.PRMove{
		Key: r.Key, ServiceKey: r.Service, Unregister: r.Unreg, APTPL: r.APTPL,
		RelativePort: uint16(r.To.Port() + 1), Destination: sim.Member(r.To.Initiator(), 0).PortID(),
	}.Marshal()))
}

// actReplaceLost: nothing is lost here.
func (m *machine) actReplaceLost(t *rapid.T) {
	n := m.someone(t)
	r := rules.Request{Action: rules.ReplaceLost, Service: drawKey(t, "key"), Type: 1}
	m.out(n, r, basic(r))
}

func (m *machine) actReserve6(t *rapid.T) {
	n := m.someone(t)
	c := rapid.SampledFrom([]initiator.Cmd{initiator.Reserve6(), initiator.Reserve10()}).Draw(t, "form")
	m.run(n, rules.Always, c, func() (r rules.Result) {
		m.state, r = m.state.Reserve6(n)
		return r
	})
}

func (m *machine) actRelease6(t *rapid.T) {
	n := m.someone(t)
	if m.state.Legacy != rules.None && m.lives[m.state.Legacy].host != nil {
		n = m.state.Legacy
	}
	c := rapid.SampledFrom([]initiator.Cmd{initiator.Release6(), initiator.Release10()}).Draw(t, "form")
	m.run(n, rules.Always, c, func() (r rules.Result) {
		m.state, r = m.state.Release6(n)
		return r
	})
}

func (m *machine) newWrite(t *rapid.T) (block int, value uint32, c initiator.Cmd) {
	m.wrote++
	block = rapid.IntRange(0, blocks-1).Draw(t, "block")
	return block, m.wrote, initiator.Write16(uint64(block), content(block, m.wrote), sim.BlockSize, 0)
}

func content(block int, value uint32) []byte {
	if value == 0 {
		return make([]byte, sim.BlockSize)
	}
	return sim.Stamp{Seq: value, LBA: uint32(block)}.Blocks(1)
}

func (m *machine) actWrite(t *rapid.T) {
	block, value, c := m.newWrite(t)
	m.run(m.someone(t), rules.Write, c, func() rules.Result {
		m.content[block] = value
		return rules.Good
	})
}

func (m *machine) actRead(t *rapid.T) {
	block := rapid.IntRange(0, blocks-1).Draw(t, "block")
	a, good := m.run(m.someone(t), rules.Read, initiator.Read16(uint64(block), 1, sim.BlockSize, 0), succeeds)
	if good && string(a.Data) != string(content(block, m.content[block])) {
		s, _ := sim.ReadStamp(a.Data)
		t.Fatalf("block %d: write %d was last, found %v", block, m.content[block], s)
	}
}

// readAll compares the medium with what was acknowledged.
func (m *machine) readAll() {
	for b := range blocks {
		if got := m.bed.Content(b, 1); string(got) != string(content(b, m.content[b])) {
			s, _ := sim.ReadStamp(got)
			m.t.Fatalf("block %d: write %d was last, found %v", b, m.content[b], s)
		}
	}
}

func (m *machine) actHold(t *rapid.T) {
	n := m.someone(t)
	l := &m.lives[n]
	if l.held != nil {
		return
	}
	block, value, c := m.newWrite(t)
	c.HoldData, c.NoUnsolicited = true, true
	p, through := m.admit(n, rules.Write)
	run := l.host.Start(c)
	select {
	case <-run.Asked():
		if !through {
			t.Fatalf("want %v, the target asks for data", p)
		}
		l.held = &heldWrite{run, block, value}
	case <-run.Done():
		if through || !p.fits(run.Answer()) {
			t.Fatalf("want %v, got %v", p, run.Answer())
		}
	}
}

// actRelease0 sends held data: the rights count that are in force now.
func (m *machine) actRelease0(t *rapid.T) {
	n := m.someone(t)
	l := &m.lives[n]
	if l.held == nil {
		return
	}
	h := l.held
	l.held = nil
	p := prediction{result: rules.Conflict}
	if m.state.Allows(n, rules.Write) {
		p.result = rules.Good
		m.content[h.block] = h.value
	}
	h.run.Release()
	if a := m.end(h); !p.fits(a) {
		t.Fatalf("held write of %d.%d: want %v, got %v", n.Initiator(), n.Port(), p, a)
	}
}

func (m *machine) manage(n rules.Nexus, f initiator.TMF) {
	status, lost := m.lives[n].host.Manage(f, nil)
	if status != initiator.TMFComplete || lost {
		m.t.Fatalf("%v: %v", f, status)
	}
}

func (m *machine) actReset(t *rapid.T) {
	n := m.someone(t)
	m.manage(n, rapid.SampledFrom([]initiator.TMF{initiator.TMFLUReset, initiator.TMFTargetWarmReset}).Draw(t, "function"))
	m.state, m.tas = m.state.Reset(), false
	for v := range rules.Nexus(rules.Nexuses) {
		m.lives[v].tell(uaReset)
		m.abort(v, false)
	}
}

func (m *machine) actClearTaskSet(t *rapid.T) {
	n := m.someone(t)
	m.manage(n, initiator.TMFClearTaskSet)
	for v := range rules.Nexus(rules.Nexuses) {
		m.abort(v, v != n)
	}
}

func (m *machine) actAbortTaskSet(t *rapid.T) {
	n := m.someone(t)
	m.manage(n, initiator.TMFAbortTaskSet)
	m.abort(n, false)
}

// actAttentions takes all unit attentions away, and wants no other.
func (m *machine) actAttentions(t *rapid.T) {
	n := m.someone(t)
	for {
		before := len(m.lives[n].ua)
		m.run(n, rules.Status, initiator.TestUnitReady(), succeeds)
		if before == 0 || len(m.lives[n].ua) == before {
			return
		}
	}
}

// actRestart ends the daemon and starts it again, in the same boot of the host
// or after a power loss.
func (m *machine) actRestart(t *rapid.T) {
	powerLoss := rapid.Bool().Draw(t, "power loss")
	m.bed.Restart(func() pr.Store {
		if m.dir == "" {
			mem := m.bed.Store().(*prstore.Mem)
			if powerLoss {
				mem.PowerCycle()
			}
			return mem
		}
		must(t, m.store.Close())
		if powerLoss {
			m.boot++
		}
		return m.openStore()
	})
	m.state, m.tas = m.state.Reset(), false
	if powerLoss {
		m.state = m.state.AfterPowerLoss()
	}
	for n := range rules.Nexus(rules.Nexuses) {
		m.gone(n)
		m.lives[n].seen = false
	}
}
