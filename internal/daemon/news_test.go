package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/initiator"
)

// A stranger who knocks again and again, and an initiator whose every command is
// refused, fill no log; what is said of one LUN leaves room for what is to be
// said of another.
func TestLogIsNotFloodedByPeers(t *testing.T) {
	core, seen := observer.New(zapcore.InfoLevel)
	d, err := Start(t.Context(), parse(t, t.TempDir(), openTarget), Options{Log: zap.New(core)})
	require.NoError(t, err)
	stopped := false
	defer func() {
		if !stopped {
			stopTest(t, d)
		}
	}()
	ctx := t.Context()
	s1, _ := node(t, d, "node1", 1)
	defer s1.Close()
	s2, two := node(t, d, "node2", 2)
	defer s2.Close()
	for _, lun := range []uint16{0, 1} {
		u := s1.Unit(lun)
		_, err := u.DrainUA(ctx)
		require.NoError(t, err)
		require.NoError(t, u.RegisterAndIgnore(ctx, 1, true))
		require.NoError(t, u.Reserve(ctx, 1, initiator.WriteExclusive))
	}
	for range 50 {
		conflict(t, two.Write(ctx, 0, make([]byte, 512)))
		_, err := initiator.Dial(ctx, initiator.Config{Addr: d.Portals()[0].String(), Target: "iqn.2026-11.test:none", InitiatorName: "iqn.2026-11.test:lost"})
		require.Error(t, err)
	}
	b := s2.Unit(1)
	_, err = b.DrainUA(ctx)
	require.NoError(t, err)
	conflict(t, b.Write(ctx, 0, make([]byte, 512)))
	require.LessOrEqual(t, seen.FilterMessage("login refused").Len(), 10, "five in ten seconds")
	require.LessOrEqual(t, seen.FilterMessage("command refused").FilterField(zap.String("lun", "a")).Len(), 10)
	require.Equal(t, 1, seen.FilterMessage("command refused").FilterField(zap.String("lun", "b")).Len())

	// What was left out is counted, and said at the latest when the daemon ends.
	// A login is refused before that is told.
	var written int
	require.Eventually(t, func() bool {
		written = seen.FilterMessage("login refused").Len() + seen.FilterMessage("command refused").Len()
		return uint64(101-written) == d.news.left.count()
	}, 10*time.Second, time.Millisecond)
	stopTest(t, d)
	stopped = true
	var lines uint64
	for _, e := range seen.FilterMessage("lines were left out that say the same again").All() {
		lines += e.ContextMap()["lines"].(uint64)
		require.Regexp(t, `^(command|login) refused \(\d+\)$`, e.ContextMap()["most"].([]any)[0])
	}
	require.EqualValues(t, 101-written, lines)
}
