// Command node is a cluster node on the command line, for the guides: it logs
// in, sends reservation commands to a LUN as a cluster would, says in words
// what came back, and logs out.
//
//	go run ./test/docs/node -name node1 register a1
//	go run ./test/docs/node -name node1 reserve a1
//	go run ./test/docs/node -name node2 preempt b2 a1
//	go run ./test/docs/node -name node1 write
//	go run ./test/docs/node -name node1 stay 30s
//
// A name has its initiator name and its ISID, always the same ones, so that a
// registration is found again by the next command. stay keeps the session.
// A refused command ends with exit code 1.
package main
