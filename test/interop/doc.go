// Package interop checks the daemon from outside, as a process, with
// initiators that are not ours: libiscsi's tools (Debian package libiscsi-bin)
// and QEMU's iscsi driver (qemu-utils, qemu-block-extra). Data are always read
// back and compared. Our own initiator helps where the others cannot be told
// to misbehave.
//
//	go test ./test/interop
//	go test ./test/interop -target tgt     # does the test hold for others?
package interop
