package pr_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
)

// crowd is a unit at its limit of registrations, all of one key but the first,
// with long names that differ late.
func crowd(typ pr.Type) pr.State {
	s := pr.State{Generation: 1, APTPL: true}
	for i := range pr.DefaultMaxRegistrations {
		k := pr.Key(2)
		if i == 0 {
			k = 1
		}
		s.Registrations = append(s.Registrations, pr.Registration{Nexus: crowdNexus(i), Key: k})
	}
	if typ != 0 {
		s.Reservation = pr.Reservation{Type: typ}
		if !typ.AllRegistrants() {
			s.Reservation.Holder = crowdNexus(0)
		}
	}
	return s
}

func crowdNexus(i int) pr.Nexus {
	return pr.Nexus{
		Initiator: pr.InitiatorPort(fmt.Sprintf("iqn.1991-05.com.microsoft:hyperv-cluster-node.example.org.%06d", i), isid(1)),
		Target:    pr.TargetPort(scriptTarget, 1),
	}
}

// The check on the I/O path: one atomic load, no allocation, no lock.
func TestAccessCheckAllocatesNothing(t *testing.T) {
	store := &prstore.Mem{}
	_, err := store.Save("", crowd(pr.WriteExclusiveRegistrantsOnly), 0)
	require.NoError(t, err)
	u := openUnit(t, pr.Config{Store: store})
	n, stranger := crowdNexus(1000), nexus('x')
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !u.Access().Rights(n).Allows(pr.Write) || u.Access().Rights(stranger).Allows(pr.Write) {
			t.Error("wrong rights")
		}
	}))
}

// heavy are the commands that look at every registration of a full unit.
func heavy() map[string]struct {
	s  pr.State
	op pr.Op
} {
	var ids []pr.TransportID
	for i := range pr.DefaultMaxRegistrations - 1 {
		ids = append(ids, pr.TransportID{Node: fmt.Sprintf("iqn.1991-05.com.microsoft:hyperv-cluster-node.example.org.%06d", i), Port: true})
	}
	last := crowdNexus(pr.DefaultMaxRegistrations - 1)
	return map[string]struct {
		s  pr.State
		op pr.Op
	}{
		"change key":     {crowd(0), pr.Op{Action: pr.Register, From: last, Key: 2, ServiceKey: 3}},
		"reserve":        {crowd(0), pr.Op{Action: pr.Reserve, From: last, Key: 2, Type: pr.WriteExclusive}},
		"clear":          {crowd(pr.WriteExclusive), pr.Op{Action: pr.Clear, From: last, Key: 2}},
		"preempt all":    {crowd(pr.WriteExclusive), pr.Op{Action: pr.PreemptAndAbort, From: crowdNexus(0), Key: 1, ServiceKey: 2}},
		"preempt AR":     {crowd(pr.ExclusiveAccessAllRegistrants), pr.Op{Action: pr.PreemptAndAbort, From: last, Key: 2, Type: pr.WriteExclusive}},
		"register 1,023": {pr.State{}, pr.Op{Action: pr.Register, From: last, ServiceKey: 9, SpecIPt: true, Transports: ids}},
	}
}

// No command may take longer than a client's patience even when the unit is
// full; the bound is generous, a quadratic rule misses it by far.
func TestFullUnitIsNotSlow(t *testing.T) {
	for name, c := range heavy() {
		start := time.Now()
		for range 10 {
			_, _, v := pr.Step(c.s, oneport, c.op)
			require.True(t, v.OK(), "%s: %v", name, v)
		}
		require.Less(t, time.Since(start)/10, 100*time.Millisecond, name)
	}
}

func BenchmarkAccess(b *testing.B) {
	for _, s := range []struct {
		name string
		pr.State
	}{{"free", pr.State{}}, {"registrants only, 1024", crowd(pr.WriteExclusiveRegistrantsOnly)}} {
		b.Run(s.name, func(b *testing.B) {
			store := &prstore.Mem{}
			if _, err := store.Save("", s.State, 0); err != nil {
				b.Fatal(err)
			}
			u := openUnit(b, pr.Config{Store: store})
			n := crowdNexus(1000)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if !u.Access().Rights(n).Allows(pr.Write) {
						b.Error("refused")
					}
				}
			})
		})
	}
}

func BenchmarkStep(b *testing.B) {
	for name, c := range heavy() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pr.Step(c.s, oneport, c.op)
			}
		})
	}
}

// BenchmarkApply is a whole PREEMPT AND ABORT of 1,023 registrations, but for
// the store.
func BenchmarkApply(b *testing.B) {
	s := crowd(pr.WriteExclusiveRegistrantsOnly)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		store := &prstore.Mem{}
		if _, err := store.Save("", s, 0); err != nil {
			b.Fatal(err)
		}
		u := openUnit(b, pr.Config{Store: store})
		b.StartTimer()
		out := u.Apply(pr.Op{Action: pr.PreemptAndAbort, From: crowdNexus(0), Key: 1, ServiceKey: 2}, oneport, nil)
		if !out.Verdict.OK() {
			b.Fatal(out.Verdict)
		}
	}
}

func BenchmarkFullStatus(b *testing.B) {
	s := crowd(pr.WriteExclusiveAllRegistrants)
	b.ReportAllocs()
	for b.Loop() {
		if len(s.FullStatus(oneport.TargetPorts)) != pr.DefaultMaxRegistrations {
			b.Fatal("incomplete")
		}
	}
}
