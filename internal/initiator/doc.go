// Package initiator is an iSCSI initiator for tests: it behaves well or badly on
// demand, and it trusts nothing that a target sends.
//
// It owns the client side of RFC 7143: login with CHAP, sessions of several
// connections, the command window, data transfer, task management, text, and the
// CDBs and parameter data of the commands that a disk target knows. It shares no
// code with the target side: its encoder and decoder are written from the
// standard on their own, so that a shared mistake cannot hide a defect.
//
// # Three levels
//
//   - Unit: typed SCSI commands on one logical unit (Unit.Read, Unit.ReadKeys).
//   - Session: any CDB with any transfer, many at a time (Session.Do, Start),
//     pings, text, task management, held data, injected PDUs.
//   - Raw: one connection and single PDUs, right or wrong.
//
// # Violations
//
// Every PDU of the target is compared with the rules in violation.go. A
// deviation is recorded with its Rule and the clause behind it; Session.Close and
// Session.Logout return them as an error unless Config.Tolerant is set. Reading
// goes on after a deviation as long as the length of the PDU can be trusted.
//
// # Life of a command
//
// Start waits until the command window is open, takes CmdSN and ITT under
// Session.mu and queues the command with its unsolicited data on a connection.
// The connection's writer goroutine sends the queue, many PDUs per system call.
// The connection's reader goroutine decodes what comes back, checks layout and
// numbering and hands it to the task under Session.mu: Data-In is placed, R2T is
// answered through the writer's queue (or held), a status ends the task.
//
// Each connection has these two goroutines; Close waits for them.
package initiator
