// Package pdu is the wire format of iSCSI as Go values: every PDU of RFC 7143
// §11 with the fields RFC 7144 added, the framing around them (additional
// header segments, padding, CRC32C digests) and the key=value text of login
// and text negotiation.
//
// # What it owns
//
// Nothing that lives: no I/O, no goroutine, no clock, no global state. A
// connection reads 48 bytes into a [BHS], asks it for its [Opcode], for the
// lengths of what follows and for the [Layout] of the whole PDU, and decodes
// it into the one type that opcode has:
//
//	var h pdu.BHS                      // filled from the socket
//	switch h.Opcode() {
//	case pdu.OpSCSICommand:
//		var cmd pdu.SCSICommand
//		cmd.Decode(&h)
//
// Decoding and encoding allocate nothing and keep no reference to the header:
// a decoded value owns its bytes.
//
// # What it judges
//
// Decode accepts any 48 bytes and ignores reserved bits (§11.1). Whether a
// header is legal depends on the state of the session, so the session decides;
// only lengths that would lead outside a buffer are errors here. Likewise
// Encode writes what it is told, legal or not, so that the same code can play
// a hostile peer: a field wider than its place on the wire is cut to it, bits
// that the RFC fixes at one are set, and all other reserved bytes are zero.
// Lengths are fields like all others and are never computed behind the
// caller's back.
//
// # Units
//
// TotalAHSLength counts 4-byte words, DataSegmentLength, offsets and residuals
// count bytes, Time2Wait and Time2Retain seconds. CmdSN and StatSN and their
// relatives are of type [Serial] and wrap; DataSN, R2TSN and ExpDataSN count
// from zero for each command and are plain integers.
package pdu
