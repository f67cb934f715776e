// Package iscsi runs connections, logins and sessions: everything between a
// socket and a SCSI target device. RFC 7143, RFC 7144.
//
// # What it owns
//
// A [Server] has portals, which accept connections, and nodes, which are what
// initiators log in to. A login is straight-line code on the connection's
// goroutine; it leaves an immutable [Params] and a conn, which belongs to a
// session. A session is one I_T nexus: it holds the command window and the
// [Target] that the node attached, and it has one connection or more.
//
// # Roles and goroutines
//
// A connection in full feature phase has three roles: reading, serving,
// writing. While nothing blocks, one goroutine plays all three to completion:
// it reads what has arrived, executes each command right there, collects the
// answers and writes them with one system call. Handing work over would mean
// waking another processor, which costs more than the work.
//
// The serving role is a lock, conn.role. Who holds it owns the task table, the
// numbering and the outbox. A worker that finishes a task puts it into
// conn.done and takes the role if it is free: then it sends the answer itself.
// If it is not free, the holder finds the task before it lets go. So no
// answer ever waits for a goroutine to be woken.
//
// Three things could block, and none of them holds the role while it does:
//   - waiting for bytes: the reader gives the role up before it parks;
//   - a full socket: a writer goroutine, which lives only as long as needed,
//     waits for room and then takes the role;
//   - a command inside the medium: a monitor takes the role away from a call
//     that lasts too long and gives it to a new goroutine (monitor.go).
//
// Lock order: conn.role, then session.mu. Server.mu and sessionTable.mu are
// leaves, and nothing is called out of the package under them.
//
// # The life of a READ
//
// receiver.next finds a whole PDU, conn.vet has nothing against it, the window
// takes its CmdSN, conn.command makes a task of it. conn.callTask submits it:
// the SCSI layer reads the medium into a pool buffer and says Finished.
// conn.settle queues the task among the answers, conn.fill cuts it into Data-In
// PDUs, headers in the outbox's arena, payload where the medium put it, status
// on the last one. conn.flush writes; when the last byte is out the task is
// recycled and its buffer goes back to the pool.
//
// # The life of a WRITE
//
// Immediate data that are complete stay in the receive buffer, and Submit
// stores them from there. Otherwise the task gets one buffer for all of its
// data: Submit says NeedData, conn.ask sends R2Ts, and placeDataOut tells the
// receiver where each Data-Out belongs, so that long payloads come from the
// socket straight into it. With the last byte the task is resumed. If anything
// is wrong with the data, the rest is swallowed and the task ends with a CHECK
// CONDITION when all that was promised has come.
package iscsi
