package prstore

import (
	"testing"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore/prstoretest"
)

// BenchmarkSave is two records, each synced, on the file system of TMPDIR.
func BenchmarkSave(b *testing.B) {
	full := pr.State{Generation: 1}
	for i := range pr.DefaultMaxRegistrations {
		full.Registrations = append(full.Registrations, pr.Registration{Nexus: prstoretest.Nexus(i), Key: 1})
	}
	for _, c := range []struct {
		name string
		s    pr.State
	}{{"3 registrations", prstoretest.Sample(true)}, {"1024 registrations", full}} {
		b.Run(c.name, func(b *testing.B) {
			f, err := Open(Options{Dir: b.TempDir(), BootID: "b"})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			if err := f.Attach("u", Expect{}); err != nil {
				b.Fatal(err)
			}
			_, rev, err := f.Load("u")
			for b.Loop() {
				if err != nil {
					b.Fatal(err)
				}
				rev, err = f.Save("u", c.s, rev)
			}
		})
	}
}
