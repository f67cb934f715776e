// Package isns tells an iSNS server which targets there are and where: an
// initiator that asks the server need not know our address. RFC 4171.
//
// # What it owns
//
// [Client] registers one network entity with its portals and iSCSI target nodes
// (DevAttrReg), says that it is still there when the server asks (ESI) or before
// the registration runs out, and takes itself off the list at the end (DevDereg).
// [Message] is the wire format, as pure functions of bytes.
//
// # Goroutines
//
// One runs the registration: connect, register, wait, again; whatever goes wrong
// is told through Options.Failed and tried again later. One per portal listens
// for ESI. Nothing of it is on any I/O's path, and nothing waits for it: a server
// that hangs costs a goroutine, and Close a bounded time.
package isns
