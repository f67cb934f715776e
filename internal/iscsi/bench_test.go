package iscsi

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// nullTarget answers at once and looks at nothing: what remains is the
// protocol.
type nullTarget struct{}

func (nullTarget) Submit(t *scsi.Task) scsi.Progress {
	switch t.CDB[0] {
	case 0x28:
		t.Reserve(int(t.InLen))
	case 0x2a:
		if t.Need = int(t.OutLen); len(t.Out) < t.Need {
			return scsi.NeedData
		}
		t.Want = int64(t.Need)
	}
	t.Status = scsi.Good
	return scsi.Finished
}

func (n nullTarget) Resume(t *scsi.Task) scsi.Progress { return n.Submit(t) }
func (nullTarget) Manage(_ scsi.TaskMgmt, done func(scsi.TMFResponse, uint32)) {
	done(scsi.FunctionComplete, 0)
}
func (nullTarget) Detach() {}

// overTCP logs in to a server with a null target over loopback.
func overTCP(tb testing.TB, keys string) (*Server, *iscsitest.Initiator) {
	s := NewServer(Options{})
	s.SetNodes([]*Node{{
		Name: testTarget, Groups: []uint16{1},
		Authorize: func(InitiatorInfo) (*Auth, *LoginError) { return nil, nil },
		Attach:    func(scsi.Nexus, InitiatorInfo) (Target, error) { return nullTarget{}, nil },
	}})
	require.NoError(tb, s.AddPortal(Portal{Address: "127.0.0.1:0", TPGT: 1}))
	s.Serve()
	nc, err := net.Dial("tcp", s.Addr("127.0.0.1:0").String())
	require.NoError(tb, err)
	tb.Cleanup(func() { s.Shutdown(done()) })
	i := iscsitest.New(tb, nc)
	i.Login(testTarget, keys)
	return s, i
}

// BenchmarkCommands runs batches of commands over loopback. The initiator is
// as cheap as can be: it writes one prepared batch, with the numbers put in,
// and reads as many bytes as the answers have.
func BenchmarkCommands(b *testing.B) {
	for _, c := range []struct {
		name  string
		make  func(i *iscsitest.Initiator) ([]byte, int)
		batch int
	}{
		{"TEST UNIT READY", func(i *iscsitest.Initiator) ([]byte, int) { return i.Encode(i.TestUnitReady(), nil, nil), 48 }, 1},
		{"READ 4k", func(i *iscsitest.Initiator) ([]byte, int) { return i.Encode(i.Read10(0, 8), nil, nil), 48 + 4096 }, 1},
		{"WRITE 4k", func(i *iscsitest.Initiator) ([]byte, int) {
			return i.Encode(i.Write10(0, 8), nil, make([]byte, 4096)), 48
		}, 1},
		{"TEST UNIT READY", func(i *iscsitest.Initiator) ([]byte, int) { return i.Encode(i.TestUnitReady(), nil, nil), 48 }, 32},
		{"READ 4k", func(i *iscsitest.Initiator) ([]byte, int) { return i.Encode(i.Read10(0, 8), nil, nil), 48 + 4096 }, 32},
		{"WRITE 4k", func(i *iscsitest.Initiator) ([]byte, int) {
			return i.Encode(i.Write10(0, 8), nil, make([]byte, 4096)), 48
		}, 32},
		{"READ 256k", func(i *iscsitest.Initiator) ([]byte, int) { return i.Encode(i.Read10(0, 512), nil, nil), 48 + 256<<10 }, 8},
		{"WRITE 64k", func(i *iscsitest.Initiator) ([]byte, int) {
			return i.Encode(i.Write10(0, 128), nil, make([]byte, 64<<10)), 48
		}, 8},
	} {
		b.Run(fmt.Sprintf("%s x%d", c.name, c.batch), func(b *testing.B) {
			_, i := overTCP(b, "MaxRecvDataSegmentLength=262144 FirstBurstLength=65536")
			one, answer := c.make(i)
			var batch []byte
			for range c.batch {
				batch = append(batch, one...)
			}
			in := make([]byte, answer*c.batch)
			sn := i.CmdSN - 1
			b.ReportAllocs()
			b.SetBytes(int64(answer + len(one) - 96))
			for n := 0; b.Loop(); n++ {
				if n%c.batch != 0 {
					continue
				}
				for k := range c.batch {
					h := batch[k*len(one):]
					itt := uint32(k)
					h[16], h[17], h[18], h[19] = byte(itt>>24), byte(itt>>16), byte(itt>>8), byte(itt)
					h[24], h[25], h[26], h[27] = byte(sn>>24), byte(sn>>16), byte(sn>>8), byte(sn)
					sn++
				}
				if _, err := i.Conn.Write(batch); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(i.Conn, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSteadyStateAllocatesNothing: a command costs no memory once the
// connection is warm.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	_, i := overTCP(t, "MaxRecvDataSegmentLength=262144 InitialR2T=Yes")
	for name, c := range map[string]*pdu.SCSICommand{
		"TEST UNIT READY": i.TestUnitReady(), "READ 4k": i.Read10(0, 8), "WRITE 4k": i.Write10(0, 8),
	} {
		var data []byte
		answer := make([]byte, 48)
		if c.Write {
			data = make([]byte, 4096)
		}
		if c.Read {
			answer = make([]byte, 48+4096)
		}
		sn := i.ExpCmdSN
		out := i.Encode(c, nil, data)
		step := func() {
			for k := range 4 {
				out[24+k] = byte(sn >> (24 - 8*k))
			}
			sn++
			i.Conn.Write(out)
			io.ReadFull(i.Conn, answer)
		}
		for range 100 {
			step()
		}
		allocs := testing.AllocsPerRun(2000, step)
		i.ExpCmdSN = sn
		if !raceDetector { // under which sync.Pool forgets on purpose
			require.Less(t, allocs, 0.1, name)
		}
	}
}
