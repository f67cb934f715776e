package iscsi

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// door is a gate and the options it goes by.
type door struct {
	t   *testing.T
	g   gate
	o   Options
	now time.Time
}

func newDoor(t *testing.T, o Options) *door {
	return &door{t: t, o: o.withDefaults(), now: time.Unix(1e9, 0)}
}

func visit(from string) *visitor {
	return &visitor{info: ConnInfo{Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 1)}}
}

func (d *door) enter(v *visitor) (bool, Reason) { return d.g.enter(&d.o, v, d.now) }

func (d *door) leave(v *visitor, failed bool) (*visitor, []*visitor) {
	return d.g.leave(&d.o, v, d.now, failed)
}

// in, lines and away are what can become of a visitor.
func (d *door) in(from string) *visitor {
	d.t.Helper()
	v := visit(from)
	in, why := d.enter(v)
	require.True(d.t, in)
	require.Empty(d.t, why)
	return v
}

func (d *door) lines(from string) *visitor {
	d.t.Helper()
	v := visit(from)
	in, why := d.enter(v)
	require.False(d.t, in)
	require.Empty(d.t, why)
	return v
}

func (d *door) away(from string, want Reason) {
	d.t.Helper()
	in, why := d.enter(visit(from))
	require.False(d.t, in)
	require.Equal(d.t, want, why)
}

// next says that v's leaving lets w in.
func (d *door) next(v, w *visitor) {
	d.t.Helper()
	got, away := d.leave(v, false)
	require.Same(d.t, w, got)
	require.Empty(d.t, away)
}

func TestGate(t *testing.T) {
	d := newDoor(t, Options{MaxLogins: 5, MaxLoginsPerSource: 2, LoginFailures: 3, LoginLine: 4, LoginLinePerSource: 2})
	a1, _ := d.in("10.0.0.1"), d.in("10.0.0.1")
	a3, a4 := d.lines("10.0.0.1"), d.lines("10.0.0.1")
	d.away("10.0.0.1", ReasonTooManyLoginsFromSource)
	b1 := d.in("10.0.0.2")
	x1, x2 := d.in("2001:db8::1"), d.in("2001:db8::2")
	c1 := d.lines("10.0.0.3") // five are inside
	x3 := d.lines("2001:db8::ffff")
	d.away("10.0.0.4", ReasonTooManyLogins)

	// Every source has its turn, and none has more than its share.
	d.next(b1, c1)
	d.next(a1, a3)
	d.next(x1, x3)
	d.next(c1, nil)
	y1 := d.in("2001:db8:0:1::1") // another /64
	d.lines("2001:db8:0:1::2")    // five again
	d.next(a3, a4)
	require.Equal(t, 5, d.g.inside)
	require.Equal(t, 1, d.g.lined)
	d.leave(a4, false)
	require.Equal(t, 5, d.g.inside, "who waited for room at all goes in")

	require.Len(t, d.g.close(), 0)
	d.away("10.0.0.9", ReasonShutdown)
	for _, v := range []*visitor{x2, x3, y1} {
		d.leave(v, false)
	}
	require.Equal(t, 2, d.g.inside)
}

func TestGateLine(t *testing.T) {
	d := newDoor(t, Options{MaxLogins: 1, LoginLine: 10, LoginLinePerSource: 10})
	first := d.in("10.0.0.1")
	a, b := d.lines("10.0.0.1"), d.lines("10.0.0.1")
	c := d.lines("10.0.0.2")
	require.True(t, d.g.abandon(&d.o, a, d.now), "it waited for too long")
	require.False(t, d.g.abandon(&d.o, a, d.now))
	require.False(t, d.g.abandon(&d.o, first, d.now))
	d.next(first, b)
	require.False(t, d.g.abandon(&d.o, b, d.now), "its turn has come")
	d.next(b, c)
	d.next(c, nil)
	require.Empty(t, d.g.sources, "nothing is kept of those who behave")
	require.Empty(t, d.g.turn)
	b = d.in("10.0.0.1")
	e, f := d.lines("10.0.0.1"), d.lines("10.0.0.2")
	require.ElementsMatch(t, []*visitor{e, f}, d.g.close())
	d.next(b, nil)
	require.Zero(t, d.g.lined)
}

// Three failures a minute.
func TestGateBackOff(t *testing.T) {
	d := newDoor(t, Options{MaxLogins: 2, LoginFailures: 3})
	d.in("10.0.0.9")
	v := d.in("10.0.0.1")
	for range 2 {
		w := d.lines("10.0.0.1")
		next, away := d.leave(v, true)
		require.Same(t, w, next)
		require.Empty(t, away)
		v = w
	}
	w, other := d.lines("10.0.0.1"), d.lines("10.0.0.2")
	next, away := d.leave(v, true)
	require.Same(t, other, next)
	require.Equal(t, []*visitor{w}, away, "the third goes, and who stands behind it")
	d.away("10.0.0.1", ReasonLoginBackOff)
	d.leave(other, false)
	d.now = d.now.Add(20 * time.Second)
	v = d.in("10.0.0.1") // one of them has faded
	d.leave(v, true)
	d.away("10.0.0.1", ReasonLoginBackOff)
	d.now = d.now.Add(time.Minute)
	d.leave(d.in("10.0.0.1"), false)
	require.Len(t, d.g.sources, 1, "nothing is kept of those who behave")
}

// Whatever comes and goes, the sums are right, the limits hold, and nobody
// stands in line while there is room.
func TestGateRandomly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDoor(t, Options{MaxLogins: 6, MaxLoginsPerSource: 3, LoginLine: 8, LoginLinePerSource: 4, LoginFailures: 4})
		hosts := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}
		var inside, lined []*visitor
		take := func(from []*visitor) ([]*visitor, *visitor) {
			n := rapid.IntRange(0, len(from)-1).Draw(rt, "which")
			v := from[n]
			return slices.Delete(slices.Clone(from), n, n+1), v
		}
		drop := func(v *visitor) {
			n := slices.Index(lined, v)
			require.GreaterOrEqual(rt, n, 0, "who comes out of the line was in it")
			lined = slices.Delete(lined, n, n+1)
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			d.now = d.now.Add(time.Second)
			switch what := rapid.IntRange(0, 5).Draw(rt, "what"); {
			case what < 3:
				v := visit(rapid.SampledFrom(hosts).Draw(rt, "host"))
				switch in, why := d.enter(v); {
				case in:
					inside = append(inside, v)
				case why == "":
					lined = append(lined, v)
				}
			case what == 3 && len(lined) > 0:
				var v *visitor
				lined, v = take(lined)
				require.True(rt, d.g.abandon(&d.o, v, d.now))
			case len(inside) > 0:
				var v *visitor
				inside, v = take(inside)
				next, away := d.leave(v, what == 5)
				if next != nil {
					drop(next)
					inside = append(inside, next)
				}
				for _, x := range away {
					drop(x)
				}
			}
			of := func(all []*visitor, p netip.Prefix) (n int) {
				for _, v := range all {
					if sourceOf(v.info.Remote.Addr()) == p {
						n++
					}
				}
				return n
			}
			require.Equal(rt, len(inside), d.g.inside)
			require.Equal(rt, len(lined), d.g.lined)
			require.LessOrEqual(rt, d.g.inside, 6)
			for _, s := range d.g.sources {
				require.Equal(rt, of(inside, s.prefix), s.inside)
				require.Equal(rt, of(lined, s.prefix), len(s.line))
				require.Equal(rt, len(s.line) > 0, slices.Contains(d.g.turn, s))
				require.LessOrEqual(rt, s.inside, 3)
				if len(s.line) > 0 {
					require.True(rt, d.g.inside == 6 || s.inside == 3, "room, and somebody in line")
				}
			}
		}
	})
}

// Failed sources are not remembered without end.
func TestGateForgets(t *testing.T) {
	d := newDoor(t, Options{})
	for n := range 10 * maxSources {
		d.leave(d.in(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()), true)
		d.now = d.now.Add(time.Millisecond)
	}
	require.LessOrEqual(t, len(d.g.sources), 2*maxSources)
	require.Zero(t, d.g.inside)
}

// from connects from a host of its own.
func (r *rig) from(host int) *iscsitest.Initiator {
	nc, err := r.l.DialFrom(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 1000))
	require.NoError(r.t, err)
	return iscsitest.New(r.t, nc)
}

func TestLoginLimits(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		for range 4 { // the fourth in line
			r.from(1)
		}
		synctest.Wait()
		r.from(1).Closed()
		r.requireSaw(ReasonTooManyLoginsFromSource)
		for host := range 5 {
			r.from(10 + host)
		}
		waits := r.from(98)
		synctest.Wait()
		r.from(99).Closed()
		r.requireSaw(ReasonTooManyLogins)

		// The eight time out; then it is somebody else's turn.
		waits.Login(testTarget, "")
		ping(waits)
		synctest.Wait()
		r.from(1).Closed() // three from there said nothing
		r.requireSaw(ReasonLoginBackOff)
		for range 3 {
			j := r.from(20)
			j.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, "InitiatorName=nobody")
			j.Closed()
		}
		r.from(20).Closed()
		ping(waits)
	}, func(o *Options) {
		o.MaxLogins, o.MaxLoginsPerSource, o.LoginFailures, o.LoginLine, o.LoginLinePerSource = 8, 3, 3, 2, 1
	})
}

// Nobody stands in line for ever.
func TestLoginLineIsLeft(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		slow := func(i *iscsitest.Initiator) {
			i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, false, names)
		}
		first, second, i := r.from(1), r.from(2), r.from(3)
		slow(first)
		time.Sleep(2 * time.Second)
		first.Conn.Close()
		slow(second) // for two seconds longer than the third waits
		i.Closed()
		r.requireSaw(ReasonLoginLineTooLong)
	}, func(o *Options) { o.MaxLogins = 1 })
	inMemory(t, func(t *testing.T, r *rig) {
		r.from(1)
		i := r.from(2)
		synctest.Wait()
		r.srv.Shutdown(done())
		i.Closed()
		r.requireSaw(ReasonShutdown)
	}, func(o *Options) { o.MaxLogins = 1 })
}

// Who only looks whether somebody listens has not failed.
func TestLookingIsNoFailure(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		for range 100 {
			r.from(1).Conn.Close()
			synctest.Wait()
		}
		r.requireSaw(ReasonLoginNothingSaid)
		i := r.from(1)
		i.Login(testTarget, "")
		ping(i)
	})
}

// A rack of hosts behind one address comes back at the same moment: all get
// in, without trying again.
func TestManyLoginsFromOneAddress(t *testing.T) {
	const hosts, paths = 64, 4
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		withCHAP(r, &Auth{})
		var all []*iscsitest.Initiator
		for n := range hosts * paths { // connected, all of them, before the first says a word
			i := r.from(1)
			i.ISID[5] = byte(n)
			all = append(all, i)
		}
		var wg sync.WaitGroup
		for _, i := range all {
			wg.Go(func() {
				chapLogin{}.run(i)
				enters(i)
			})
		}
		wg.Wait()
		require.Len(t, r.srv.Sessions(), hosts*paths)
	})
}

func TestSessionLimits(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		login := func(host string, n byte) pdu.LoginStatus {
			i := r.connect()
			i.ISID[5] = n
			a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, fmt.Sprintf("InitiatorName=iqn.2026-11.test:%s TargetName=%s DefaultTime2Retain=0", host, testTarget))
			return a.Status
		}
		require.Equal(t, pdu.LoginSuccess, login("a", 1))
		require.Equal(t, pdu.LoginSuccess, login("a", 2))
		require.Equal(t, pdu.LoginOutOfResources, login("a", 3))
		r.requireSaw(ReasonSessionsOfInitiator)
		require.Equal(t, pdu.LoginSuccess, login("b", 1))
		require.Equal(t, pdu.LoginOutOfResources, login("c", 1))
		r.requireSaw(ReasonSessionsOfTarget)
		require.Equal(t, pdu.LoginSuccess, login("a", 2), "reinstatement needs no room")
		require.Len(t, r.srv.Sessions(), 3)
		require.True(t, r.srv.KillSession(r.srv.Sessions()[0].ID))
		require.Equal(t, pdu.LoginSuccess, login("c", 1))
	}, func(o *Options) { o.SessionsPerTarget, o.SessionsPerInitiator = 3, 2 })
}

// Peers that have proven nothing cost little memory.
func TestUnauthenticatedConnectionsAreCheap(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{})
		const n = 200
		measure := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc + m.StackInuse
		}
		before := measure()
		for range n {
			i := r.connect()
			// As far as one gets without a secret, with as much text as is taken.
			q := i.LoginRequest(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false)
			i.Send(q, iscsitest.Text(names+" AuthMethod=CHAP CHAP_A=8").Append(nil))
			i.LoginAnswer()
			q.Continue = true
			q.DataSegmentLength = 0
			i.Send(q, make([]byte, 8000))
			i.LoginAnswer()
		}
		after := measure()
		require.Less(t, (after-before)/n, uint64(64<<10))
	}, func(o *Options) { o.MaxLogins, o.MaxLoginsPerSource = 1000, 1000 })
}
