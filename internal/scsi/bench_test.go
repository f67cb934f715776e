package scsi

import "testing"

// The path of an I/O allocates nothing.
func BenchmarkSubmit(b *testing.B) {
	for _, c := range []struct {
		name, cdb string
		out       []byte
		in        uint32
	}{
		{"TEST UNIT READY", "00 00 00 00 00 00", nil, 0},
		{"READ 4k", "28 00 00000010 00 0008 00", nil, 4096},
		{"WRITE 4k", "2a 00 00000010 00 0008 00", make([]byte, 4096), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newBench(b)
			task := &Task{}
			cdb := unhex(c.cdb)
			submit := func() {
				task.OutLen, task.InLen, task.Out, task.Borrowed = uint32(len(c.out)), c.in, c.out, true
				copy(task.CDB[:], cdb)
				if l.it.Submit(task) != Finished || task.Status != Good {
					b.Fatal(task.Failure)
				}
				task.Reset()
			}
			submit()
			if n := testing.AllocsPerRun(100, submit); n != 0 {
				b.Fatalf("%v allocations", n)
			}
			b.ReportAllocs()
			for b.Loop() {
				submit()
			}
		})
	}
}

// The same, as a test that fails.
func TestSubmitAllocatesNothing(t *testing.T) {
	for _, c := range []string{"00 00 00 00 00 00", "28 00 00000010 00 0008 00", "2a 00 00000010 00 0008 00"} {
		l := newBench(t)
		task, cdb, out := &Task{}, unhex(c), make([]byte, 4096)
		n := testing.AllocsPerRun(100, func() {
			task.OutLen, task.InLen, task.Out, task.Borrowed = 4096, 4096, out, true
			copy(task.CDB[:], cdb)
			if l.it.Submit(task) != Finished || task.Status != Good {
				t.Fatal(task.Failure)
			}
			task.Reset()
		})
		if n != 0 && !raceDetector { // which empties pools at random
			t.Errorf("%s: %v allocations", c, n)
		}
	}
}
