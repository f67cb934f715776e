// Package service talks with the service manager that started the process, if
// one did: systemd, or whatever speaks its protocols.
//
// Three protocols, all by environment variables: sd_notify (NOTIFY_SOCKET) says
// how far the process is, the watchdog (WATCHDOG_USEC) how often it has to say
// that it is alive, socket activation (LISTEN_FDS) hands over sockets that were
// opened before the process began. Without the variables everything here does
// nothing, which is how a daemon runs in a terminal.
//
// The variables are read once, by Manager, and removed: a child that inherited
// them would speak in the daemon's name.
package service
