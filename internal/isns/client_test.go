package isns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var entity = Entity{
	ID:      "nas.example",
	Portals: []Portal{{netip.MustParseAddrPort("127.0.0.1:3260"), 1}},
	Targets: []Target{{Name: "iqn.2026-11.test:one", Alias: "first", Groups: []uint16{1}}, {Name: "iqn.2026-11.test:two", Groups: []uint16{2}}},
}

// fake is an iSNS server that says what the test wants it to.
type fake struct {
	net.Listener
	got chan Message
}

func newFake(t *testing.T, status func(Message) Status) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fake{l, make(chan Message, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if m, err := read(nc); err == nil {
				b, _ := Message{Function: m.Function | Response, Flags: FlagServer, Transaction: m.Transaction, Status: status(m)}.Append(nil)
				nc.Write(b)
				f.got <- m
			}
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return f
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func all(Message) Status { return 0 }

// Register, answer ESI, register what is new, deregister.
func TestLifeOfARegistration(t *testing.T) {
	s := newFake(t, all)
	asked := make(chan struct{}, 10)
	c := Start(Options{Server: s.Addr().String(), Asked: func() { asked <- struct{}{} }}, entity)
	m := next(t, s.got)
	require.Equal(t, DevAttrReg, m.Function)
	require.Equal(t, FlagClient|FlagReplace|FlagFirst|FlagLast, m.Flags)
	port, ok := m.Get(TagESIPort)
	require.True(t, ok)

	nc, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port.Number())).String())
	require.NoError(t, err)
	defer nc.Close()
	for n := range uint16(3) {
		ask := Message{Function: ESI, Flags: FlagServer, Transaction: n, Attrs: []Attr{Text(TagEntityID, entity.ID), Number(4, 12345)}}
		b, _ := ask.Append(nil)
		_, err = nc.Write(b)
		require.NoError(t, err)
		a, err := read(nc)
		require.NoError(t, err)
		require.Equal(t, Message{Function: ESI | Response, Flags: FlagClient | FlagFirst | FlagLast, Transaction: n, Attrs: ask.Attrs}, a)
		next(t, asked)
	}
	b, _ := Message{Function: DevAttrQry}.Append(nil)
	nc.Write(b)
	_, err = read(nc)
	require.Error(t, err, "nothing else is answered there")

	more := entity
	more.Targets = entity.Targets[:1]
	c.Update(more)
	m = next(t, s.got)
	require.Equal(t, DevAttrReg, m.Function)
	c.Close()
	m = next(t, s.got)
	require.Equal(t, DevDereg, m.Function)
	id, _ := m.Get(TagEntityID)
	require.Equal(t, entity.ID, id.Text())
	c.Update(entity) // too late, and harmless
}

// A server that forgets is told again, one that refuses or is away is asked
// again later, and nobody waits for any of it.
func TestTroubleWithTheServer(t *testing.T) {
	n := 0
	failed := make(chan error, 100)
	s := newFake(t, func(Message) Status { n++; return map[int]Status{1: 12, 2: 8}[n] })
	c := Start(Options{Server: s.Addr().String(), Retry: time.Millisecond, Period: 30 * time.Millisecond, Failed: func(err error) { failed <- err }}, entity)
	for range 5 {
		require.Equal(t, DevAttrReg, next(t, s.got).Function)
	}
	require.ErrorIs(t, next(t, failed), Status(12))
	require.ErrorIs(t, next(t, failed), Status(8))
	c.Close()

	// It hangs.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c = Start(Options{Server: l.Addr().String()}, entity)
	nc, err := l.Accept()
	require.NoError(t, err)
	defer nc.Close()
	begin := time.Now()
	c.Close()
	require.Less(t, time.Since(begin), goodbyeTime, "nobody waits long for a server that does not answer")

	// It is not there, or there is nothing to tell.
	l.Close()
	c = Start(Options{Server: l.Addr().String(), Failed: func(err error) { failed <- err }}, entity)
	require.Error(t, next(t, failed))
	c.Close()
	Start(Options{Server: l.Addr().String()}, Entity{}).Close()
}

// A real server: Open-iSNS takes the registration, tells it to others, asks
// whether we are alive, and forgets us when we go.
func TestOpenISNS(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	conf := filepath.Join(dir, "isnsd.conf")
	require.NoError(t, os.WriteFile(conf, []byte(strings.NewReplacer("DIR", dir, "ADDR", addr).Replace(`
Database = DIR/db
BindAddress = ADDR
PIDFile = DIR/pid
ControlSocket = DIR/control
Security = 0
DefaultDiscoveryDomain = 1
ESIMinInterval = 1s
ESIMaxInterval = 1s
RegistrationPeriod = 10m
`)), 0o600))
	server := exec.Command("/usr/sbin/isnsd", "--config", conf, "--foreground")
	log := &strings.Builder{}
	server.Stdout, server.Stderr = log, log
	require.NoError(t, server.Start())
	defer func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Log(log)
		}
	}()
	adm := filepath.Join(dir, "isnsadm.conf")
	require.NoError(t, os.WriteFile(adm, []byte("ServerAddress = "+addr+"\nControlSocket = "+dir+"/control\nSecurity = 0\nSourceName = iqn.2026-11.test:control\n"), 0o600))
	list := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, _ := exec.CommandContext(ctx, "/usr/sbin/isnsadm", "--config", adm, "--local", "--list", "nodes").CombinedOutput()
		return string(out)
	}
	require.Eventually(t, func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	failed, asked := make(chan error, 100), make(chan struct{}, 100)
	up := make(chan Entity, 100)
	c := Start(Options{
		Server: addr, Retry: 50 * time.Millisecond,
		Failed:     func(err error) { failed <- err },
		Asked:      func() { asked <- struct{}{} },
		Registered: func(e Entity) { up <- e },
	}, entity)
	select {
	case <-up:
	case err := <-failed:
		require.NoError(t, err)
	}
	said := list()
	require.Contains(t, said, entity.Targets[0].Name)
	require.Contains(t, said, entity.Targets[1].Name)
	next(t, asked)
	c.Close()
	require.NotContains(t, list(), entity.Targets[0].Name)
}
