package service

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Watch says that the process is alive as often as the service manager wants
// to hear it, as long as alive returns nil, until ctx ends. It says nothing
// when alive fails or does not return: the manager then ends the process, which
// writes all its goroutines to the log, and starts another. missed is told of
// each sign of life that was not given, and why.
func (m *Manager) Watch(ctx context.Context, alive func(context.Context) error, missed func(error)) {
	if m.watchdog == 0 {
		return
	}
	// Three looks in the time allowed, so that one may come late.
	every := m.watchdog / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, every)
		err := alive(look)
		cancel()
		if err == nil {
			err = m.notify(daemon.SdNotifyWatchdog)
		}
		if err != nil && ctx.Err() == nil {
			missed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
