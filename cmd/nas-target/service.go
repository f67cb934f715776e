package main

import (
	"context"
	"net"
	"strings"

	"go.uber.org/zap"

	"nas-target/internal/daemon"
	"nas-target/internal/service"
)

// listeners are the sockets that the service manager opened.
func listeners(m *service.Manager) []net.Listener {
	var all []net.Listener
	for _, s := range m.Sockets() {
		all = append(all, s.Listener)
	}
	return all
}

// serving is the line that systemctl status shows.
func serving(d *daemon.Daemon) string {
	var at []string
	for _, p := range d.Portals() {
		at = append(at, p.String())
	}
	if len(at) == 0 {
		return "serving nobody: the configuration has no portals"
	}
	return "serving at " + strings.Join(at, " ")
}

// watch gives the service manager signs of life until stop is called.
func watch(m *service.Manager, d *daemon.Daemon, log *zap.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Watch(ctx, d.Alive, func(err error) {
			log.Error("no sign of life for the service manager, which will end this process if that goes on", zap.Error(err))
		})
	}()
	return func() { cancel(); <-done }
}

// unheard notes that the service manager could not be told something. Disks are
// served all the same.
func unheard(log *zap.Logger, err error) {
	if err != nil {
		log.Warn("the service manager was not told", zap.Error(err))
	}
}
