// Command bench measures our daemon, Debian's tgt and gotgt side by side, and
// beside them the bare limit: what two Go programs reach over the same sockets
// with the same request and reply sizes and no iSCSI at all.
//
//	make bench                            # three rounds of two seconds a row
//	make bench BENCHTIME=1s ROUNDS=1      # a quick look
//	go run ./test/bench -rows 4k -only nas-target,tgt -scenes none
//
// One run is one comparison. All targets serve files of the same size and
// content on the same file system, all stay up for the whole run, and the
// measurements are interleaved: round by round, row by row, one target after
// the other. A row shows medians over the rounds. Absolute figures move with
// the machine; the ratio to tgt within a run is what can be compared.
//
// After the rows come scenes, which start the targets they need themselves, and
// then the goals with what this run found.
//
// CPU time per I/O is that of the target's process and of this one, which is
// the client. A peer that crashes, hangs or answers with errors gets a row that
// says so; it is killed and started again before its next row.
package main
