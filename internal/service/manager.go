package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Manager is who started the process. If that was nobody who speaks the
// protocols, a terminal for example, all methods work and do nothing.
type Manager struct {
	socket   string        // where notifications go; "": nobody listens
	watchdog time.Duration // how long it waits for a sign of life; 0: it does not
	sockets  []Socket
}

// Socket is a listening socket that the service manager opened.
type Socket struct {
	Name string // FileDescriptorName= of the socket unit
	net.Listener
}

// Find reads what the service manager left in the environment and removes it.
// Call it once, early: it takes over file descriptors.
func Find() (*Manager, error) {
	m := &Manager{socket: os.Getenv("NOTIFY_SOCKET")}
	var err error
	if m.watchdog, err = daemon.SdWatchdogEnabled(true); err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	if err := os.Unsetenv("NOTIFY_SOCKET"); err != nil {
		return nil, err
	}
	if m.sockets, err = takeSockets(); err != nil {
		return nil, fmt.Errorf("socket activation: %w", err)
	}
	return m, nil
}

// takeSockets makes listeners of the descriptors handed over.
func takeSockets() (all []Socket, err error) {
	for _, f := range activation.Files(true) {
		l, lerr := net.FileListener(f)
		f.Close() // FileListener has its own
		if lerr != nil {
			err = errors.Join(err, fmt.Errorf("%s is not a listening socket: %w", f.Name(), lerr))
			continue
		}
		all = append(all, Socket{Name: f.Name(), Listener: l})
	}
	if err != nil {
		for _, s := range all {
			s.Close()
		}
		return nil, err
	}
	return all, nil
}

// Sockets are the listening sockets handed over.
func (m *Manager) Sockets() []Socket { return m.sockets }

// Ready says that the service serves.
func (m *Manager) Ready(status string) error {
	return m.notify(daemon.SdNotifyReady, "STATUS="+status)
}

// Reloading says that the configuration is read again; Ready ends it.
func (m *Manager) Reloading() error {
	// systemd 253 asks for the time too, to tell this reload from one before.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return m.notify(daemon.SdNotifyReloading, "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the service ends, and may take up to patience.
func (m *Manager) Stopping(patience time.Duration) error {
	return m.notify(daemon.SdNotifyStopping, "STATUS=waiting for initiators to log out", "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(patience.Microseconds(), 10))
}

// notify sends one datagram of assignments. Their values have one line each.
func (m *Manager) notify(assignments ...string) error {
	if m.socket == "" {
		return nil
	}
	for i, a := range assignments {
		assignments[i] = strings.ReplaceAll(a, "\n", " ")
	}
	// A leading @ is the abstract name space, for net as for systemd.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer c.Close()
	// The manager may be slow; a daemon does not wait for it.
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}
