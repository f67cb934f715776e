// Package model lives random lives of sessions at a real target, and predicts
// every answer: status and sense, PERSISTENT RESERVE IN, PRGENERATION, the unit
// attentions of each nexus in their order, the content of the medium. Nexuses
// log in, log out, are cut and replaced; units are reset; the daemon restarts
// within one boot of the host and after a power loss.
//
// It also holds the table of who may do what, cell by cell over the wire.
package model
