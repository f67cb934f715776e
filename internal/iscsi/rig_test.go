package iscsi

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
	"nas-target/internal/scsi"
)

const (
	testTarget      = "iqn.2026-11.test:disk"
	neighbourTarget = "iqn.2026-11.test:neighbour"
)

// neighbour is another target like n. Whatever happens to the sessions of n, a
// TARGET COLD RESET included, those of the neighbour go on.
func neighbour(n *Node) *Node {
	o := *n
	o.Name = neighbourTarget
	return &o
}

// rig is a server in memory with one target, and all that it told.
type rig struct {
	t      *testing.T
	srv    *Server
	l      *iscsitest.Listener
	target *iscsitest.Target
	node   *Node

	mu      sync.Mutex
	reasons []Reason
	nexuses []scsi.Nexus
	attach  func(scsi.Nexus) (Target, error)
}

// inMemory runs f in a bubble with a rig of its own; opts may change what the
// server is made of.
func inMemory(t *testing.T, f func(t *testing.T, r *rig), opts ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, opts...)) })
}

func newRig(t *testing.T, opts ...func(*Options)) *rig {
	r := &rig{t: t, l: iscsitest.NewListener("10.0.0.1:3260"), target: iscsitest.NewTarget()}
	o := Options{Events: r.events()}
	for _, f := range opts {
		f(&o)
	}
	r.srv = NewServer(o)
	r.node = &Node{
		Name: testTarget, Groups: []uint16{1},
		Authorize: func(InitiatorInfo) (*Auth, *LoginError) { return nil, nil },
		Attach: func(n scsi.Nexus, _ InitiatorInfo) (Target, error) {
			r.mu.Lock()
			r.nexuses = append(r.nexuses, n)
			r.mu.Unlock()
			if r.attach != nil {
				return r.attach(n)
			}
			return r.target, nil
		},
	}
	r.srv.SetNodes([]*Node{r.node})
	require.NoError(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: r.l}))
	r.srv.Serve()
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.srv.Shutdown(ctx)
	time.Sleep(time.Minute) // whatever lingers ends, or the bubble reports a deadlock
}

// connect makes a connection.
func (r *rig) connect() *iscsitest.Initiator { return iscsitest.Connect(r.t, r.l) }

// login makes a session with defaults and the given keys.
func (r *rig) login(keys string) *iscsitest.Initiator {
	r.t.Helper()
	i := r.connect()
	i.Login(testTarget, keys)
	return i
}

// saw reports whether the server told of a reason.
func (r *rig) saw(want Reason) bool {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.reasons {
		if x == want {
			return true
		}
	}
	return false
}

func (r *rig) requireSaw(want Reason) {
	r.t.Helper()
	found := r.saw(want)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.True(r.t, found, "%s among %v", want, slices.Compact(slices.Sorted(slices.Values(r.reasons))))
}

func (r *rig) note(x Reason) {
	r.mu.Lock()
	r.reasons = append(r.reasons, x)
	r.mu.Unlock()
	reached.Store(x, true)
}

func (r *rig) events() *Events {
	return &Events{
		LoginFailed: func(_ InitiatorInfo, e *LoginError) { r.note(e.Reason) },
		ConnDown:    func(_ SessionInfo, _ ConnInfo, why Reason, _ error, _ ConnStats) { r.note(why) },
		SessionDown: func(_ SessionInfo, why Reason) { r.note(why) },
		Rejected:    func(_ SessionInfo, _ *pdu.BHS, _ pdu.RejectReason, why Reason) { r.note(why) },
		Ignored:     func(_ SessionInfo, why Reason) { r.note(why) },
		Refused:     func(_ SessionInfo, _ uint32, why Reason) { r.note(why) },
		DigestError: func(_ SessionInfo, _ ConnInfo, which Reason) { r.note(which) },
	}
}

// reached collects all reasons that any test led to.
var reached sync.Map

func TestMain(m *testing.M) {
	pool.Poison.Store(true)
	goleak.VerifyTestMain(&reasonWalk{m})
}

// reasonWalk runs the tests and then looks whether every reason was reached.
type reasonWalk struct{ m *testing.M }

func (w *reasonWalk) Run() int {
	code := w.m.Run()
	if code != 0 || !wholeSuite() {
		return code
	}
	for _, r := range Reasons {
		if _, ok := reached.Load(r); !ok {
			os.Stderr.WriteString("FAIL: no test leads to " + string(r) + "\n")
			code = 1
		}
	}
	return code
}

// good reads a SCSI Response with GOOD and no residual.
func good(i *iscsitest.Initiator, c *pdu.SCSICommand) {
	i.T.Helper()
	r, _ := iscsitest.Expect[*pdu.SCSIResponse](i)
	require.Equal(i.T, c.ITT, r.ITT)
	require.Equal(i.T, uint8(scsi.Good), r.Status, "%v", r)
	require.Zero(i.T, r.Residual)
}

// checkCondition reads a SCSI Response with sense data key/asc/ascq.
func checkCondition(i *iscsitest.Initiator, itt uint32, want *scsi.Check) *pdu.SCSIResponse {
	i.T.Helper()
	r, data := iscsitest.Expect[*pdu.SCSIResponse](i)
	require.Equal(i.T, itt, r.ITT)
	require.Equal(i.T, uint8(scsi.CheckCondition), r.Status)
	sense, rest, err := pdu.SplitSense(data)
	require.NoError(i.T, err)
	require.Empty(i.T, rest)
	require.Equal(i.T, want.AppendSense(nil, false), sense)
	return r
}

// pattern fills n bytes that tell where they belong.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed ^ byte(i) ^ byte(i>>8)*31
	}
	return b
}
