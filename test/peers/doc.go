// Package peers starts iSCSI targets as processes for the tests that look at
// them from outside: our own daemon, Debian's tgtd, and gotgt. Each serves one
// backing file on a free port of 127.0.0.1.
//
// A peer is a guest that may hang or crash: it runs in a process group of its
// own, dies with the test that started it, writes its output to a log the test
// can quote, and is killed, not asked, when Stop's patience ends. Its CPU time
// and memory are read from /proc.
package peers
