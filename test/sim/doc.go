// Package sim is the bench on which the campaigns below it are run: a logical
// unit on a medium that is slow, stuck or watched, and hosts that reach it by
// two ways that look the same to a scenario.
//
//   - Direct: hosts call package scsi as a transport does. Nothing lies between
//     the scenario and the gate, so races are dense and the moment of an answer
//     is known exactly.
//   - Wire: hosts are sessions of internal/initiator at an iscsi.Server on
//     loopback. Slower, but everything is real: R2T, windows, several
//     connections, cut cables.
//
// # The campaigns
//
//   - fence: whoever lost its right writes nothing after the answer that took it.
//   - linear: concurrent histories of reservations and I/O have an order.
//   - model: random lives of sessions, step by step against a model; and the
//     table of who may do what, over the wire.
//   - faults: broken networks and hostile peers: cuts, silence, slowness, floods,
//     flipped bits, connections lost under load.
//   - kill: the real daemon, killed at random moments.
//
// Each has a short form that runs in every go test and a size that the
// environment sets (see Size); the Makefile has a target for each. A campaign
// prints its seed, what it did, and what no failure in so many rounds proves.
package sim
