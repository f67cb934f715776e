package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/admin"
)

// What takes long is there to be asked for while it lasts, and has a line in the
// log every few seconds.
func TestWork(t *testing.T) {
	core, seen := observer.New(zapcore.InfoLevel)
	var w works
	n, start := newNews(zap.New(core)), time.Now()
	for s := range int64(13) {
		w.note(n, "csv", s<<30, 12<<30, start.Add(time.Duration(s)*time.Second))
	}
	require.Equal(t, []admin.Work{{LUN: "csv", What: "preallocate", Done: 12 << 30, Total: 12 << 30, Since: start}}, w.list())
	var percents []any
	for _, e := range seen.All() {
		percents = append(percents, e.ContextMap()["percent"])
	}
	require.Equal(t, []any{int64(41), int64(83), int64(100)}, percents)
}

// A disk that is preallocated in one go leaves nothing behind.
func TestPreallocatedDisk(t *testing.T) {
	o := operate(t, base)
	require.NoError(t, o.apply(base+"      - {lun: 2, name: full, size: 4MiB, preallocate: true}\n"))
	require.Empty(t, o.works.list())
	overview, err := o.client.Overview(t.Context())
	require.NoError(t, err)
	require.Empty(t, overview.Work)
	luns, err := o.client.LUNs(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, luns[2].Allocated, int64(4<<20))
}
