// Package scsi is the device server: logical units, their task sets, opcode
// rows, unit attentions, sense data, mode and VPD pages. It knows SAM, SPC and
// SBC; it knows nothing of iSCSI above it and of files below it.
//
// # The life of a command
//
// The transport fills a [Task] and calls [IT.Submit]. The unit behind the LUN
// looks up the opcode row and makes the checks that need no data, in the order
// the standards give: reset unit attentions, reservation conflict, other unit
// attentions, readiness, the CDB's own fields, write protection, range. A
// command that wants Data-Out and does not have it yet waits; the transport
// collects exactly Need bytes and calls [IT.Resume].
//
// Then the handler runs inside the gate. Entering it, under the lock of the
// I_T_L nexus, the reservation is looked at once more: this is the check that
// counts, after the last data byte and right before the medium is touched. A
// task inside the gate is one that whoever fences its nexus waits for; a task
// outside it will meet the new rights. So once PERSISTENT RESERVE OUT answers,
// nothing of a nexus that lost its right reaches the medium.
//
// What the page cache can answer runs to completion on the transport's own
// goroutine; what must wait for a disk goes to the unit's bounded workers.
// Reservation commands have a queue of their own, one at a time.
//
// # Who owns what
//
//   - [Device]: a target: its ports and live nexuses.
//   - [IT]: a live I_T nexus and what it sees; ends with Detach.
//   - itl: one nexus at one unit: its tasks, unit attentions, cached rights.
//     Its lock is a leaf: nothing is called with it held.
//   - [Unit]: medium, reservations ([nas-target/internal/pr.Unit]),
//     configuration behind one atomic pointer, work queues.
//
// Lock order: IT.mu, Unit.mu, hold.mu, itl.mu, taskSet.mu, queue.mu, drain.mu.
// rods.mu, memory.mu, background.mu and spaceWatch.mu are leaves.
//
// # What keeps commands apart
//
// The gate keeps a nexus without the right out of the medium. Inside it, plain
// reads and writes run side by side; the range lock keeps those that read,
// decide and write (COMPARE AND WRITE, ORWRITE) alone in their range, on
// whatever path the others come. The task set keeps the order that ORDERED and
// HEAD OF QUEUE tasks ask for, and costs nothing while nobody does. A
// configuration is looked at again inside the gate, so who changes it and then
// drains the gate (SANITIZE, read-only) knows that nothing of the old one is
// left.
//
// A copy command is a task at the unit that it addresses and a guest at the
// units it copies between: each of them sees it as a task of the same nexus,
// judges every piece of it, and can end it.
//
// # Goroutines
//
// Workers exist while there is work. Besides, a unit flushes behind commands
// that do not wait, erases (FORMAT UNIT, SANITIZE), and asks the storage how
// much space is left; [Unit.Close] waits for these.
//
// # Adding a command
//
// Write cmd_<name>.go with one register call. Dispatch, the reservation check,
// REPORT SUPPORTED OPERATION CODES, metrics and testdata/opcodes.golden read
// that row. A row without an Access class conflicts with every reservation.
package scsi
