// Package decode makes iSCSI traffic readable: captures of networks (pcap,
// pcapng) and hexadecimal text, from any initiator and target.
//
// A Decoder reads one of them and hands out a Record for each PDU: every field
// of its header, its key=value text, its CDB by name, reservation parameters,
// sense data in words, and what is wrong with it: sequence numbers that jump,
// digests that do not match, offsets that leave a hole, bytes that are missing.
//
// # The life of a byte
//
// capture.go finds the TCP segments of the port and has them put in order ▸
// stream.go cuts one direction of one connection into PDUs, keeping the header
// and a bounded part of the data ▸ conn.go keeps the books of the connection:
// tasks, numbers, what was negotiated ▸ command.go and params.go put
// contents into words.
//
// # Bounds
//
// Captures come from strangers. A record needs memory for a header and keptData
// bytes, a connection for maxTasks tasks, and no more than maxConns connections
// are followed at a time. The payload of users is counted and checked against
// its digest, never shown; what proves an identity (CHAP_C, CHAP_R) neither.
//
// The package has no goroutines.
package decode
