package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What initiators can cause at will is written sampleFirst times in sampleSpan,
// each message by itself. How much was left out is written at intervals, and
// counted for the metrics.
const (
	sampleSpan  = 10 * time.Second
	sampleFirst = 5
)

// leftOut counts the lines that sampling left out.
type leftOut struct {
	mu    sync.Mutex
	total uint64
	since map[string]uint64 // by message, since it was last told
}

// maxMessages bounds since; some messages have names in them.
const maxMessages = 64

func (l *leftOut) sampling(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, sampleSpan, sampleFirst, 0, zapcore.SamplerHook(func(e zapcore.Entry, d zapcore.SamplingDecision) {
			if d&zapcore.LogDropped != 0 {
				l.note(e.Message)
			}
		}))
	}))
}

func (l *leftOut) note(message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if _, known := l.since[message]; !known && len(l.since) >= maxMessages {
		message = "others"
	}
	if l.since == nil {
		l.since = map[string]uint64{}
	}
	l.since[message]++
}

func (l *leftOut) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// tell writes one line about what was left out since the last one, if anything
// was: the most frequent messages, and how many lines in all.
func (l *leftOut) tell(log *zap.Logger) {
	l.mu.Lock()
	since := l.since
	l.since = nil
	l.mu.Unlock()
	if len(since) == 0 {
		return
	}
	messages := slices.SortedFunc(maps.Keys(since), func(a, b string) int {
		return cmp.Or(cmp.Compare(since[b], since[a]), cmp.Compare(a, b))
	})
	var lines uint64
	for _, n := range since {
		lines += n
	}
	most := []string{}
	for _, m := range messages[:min(len(messages), 5)] {
		most = append(most, fmt.Sprintf("%s (%d)", m, since[m]))
	}
	log.Warn("lines were left out that say the same again", zap.Uint64("lines", lines), zap.Strings("most", most))
}
