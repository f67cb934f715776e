// Package iscsitest plays the initiator, and the SCSI side, in tests of
// package iscsi.
//
// An [Initiator] sends exactly what it is told, legal or not, and reads exactly
// what comes: it negotiates nothing by itself, so a test's script is on the
// page. It works over any net.Conn; with a [Listener] everything stays in
// memory and inside a testing/synctest bubble, where waiting costs nothing.
//
// A [Target] is the logical unit behind the session. It keeps blocks, and a
// test can make it slow, stuck or hostile.
package iscsitest
