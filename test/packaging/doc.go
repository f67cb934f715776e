// Package packaging tests what people install: the Debian package under a real
// systemd, the units, the container file, the release.
//
// The package is installed in a machine: this host's own systemd, booted by the
// script beside this file in namespaces of its own on a copy-on-write view of
// the host's file systems. Nothing outside changes. It needs root.
package packaging
