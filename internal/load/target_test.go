package load

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/internal/scsi"
)

// medium is memory whose calls a test can bend.
type medium struct {
	mu     sync.RWMutex
	b      []byte
	writes atomic.Int64
	read   func(p []byte, off int64)                 // after the bytes are there
	write  func(p []byte, off int64) ([]byte, int64) // what is written instead, and where
}

func (m *medium) Size() int64 { return int64(len(m.b)) }
func (m *medium) Sync() error { return nil }

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	copy(p, m.b[off:])
	if m.read != nil {
		m.read(p, off)
	}
	return len(p), nil
}

func (m *medium) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes.Add(1)
	n := len(p)
	if m.write != nil {
		p, off = m.write(p, off)
	}
	copy(m.b[off:], p)
	return n, nil
}

const testTarget = "iqn.2026-11.test:load"

// serve starts the product's target on loopback.
func serve(t testing.TB, m scsi.Medium) initiator.Config {
	t.Helper()
	reservations, err := pr.Open(pr.Config{ID: "unit", Store: new(prstore.Mem)})
	require.NoError(t, err)
	unit, err := scsi.NewUnit(scsi.UnitConfig{
		Identity:  scsi.Identity{Name: "disk", UUID: [16]byte{1}, Serial: "1"},
		BlockSize: 512, WriteCache: true,
	}, m, reservations)
	require.NoError(t, err)
	device := scsi.NewDevice(testTarget, []scsi.Port{{Name: testTarget + ",t,0x0001", Relative: 1, Group: 1}})
	server := iscsi.NewServer(iscsi.Options{Limits: iscsi.DefaultLimits()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, server.AddPortal(iscsi.Portal{TPGT: 1, Listener: l}))
	server.SetNodes([]*iscsi.Node{{
		Name: testTarget, Groups: []uint16{1},
		Authorize: func(iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) { return nil, nil },
		Attach: func(n scsi.Nexus, _ iscsi.InitiatorInfo) (iscsi.Target, error) {
			return device.Attach(n, scsi.LUNMap{0: unit}), nil
		},
	}})
	server.Serve()
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(now)
	})
	return initiator.Config{Addr: l.Addr().String(), Target: testTarget}
}

func options(cfg initiator.Config, w Workload) Options {
	if w.Duration == 0 {
		// The count ends the run, however slow the machine is.
		w.Duration, w.Count = time.Hour, 500
	}
	if w.Block == 0 {
		w.Block = 4096
	}
	if w.Depth == 0 {
		w.Depth = 8
	}
	if w.Sessions == 0 {
		w.Sessions = 1
	}
	return Options{Target: cfg, Workload: w}
}

func keys(pairs ...string) initiator.Keys {
	var k initiator.Keys
	for i := 0; i < len(pairs); i += 2 {
		k = append(k, initiator.Key{Name: pairs[i], Value: pairs[i+1]})
	}
	return k
}
