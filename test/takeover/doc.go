// Package takeover moves real targets' disks over: it runs tgt and gotgt on a
// configuration of theirs, asks them over the wire what they serve, imports the
// same configuration, serves it by our daemon from the same files and asks
// again. Target names, LUNs, sizes, serial numbers and NAA identifiers must be
// what initiators knew. LIO lives in the kernel and is not run here; what it
// would say is written down from its source.
//
// What the documents say of gotgt is shown here, too (gotgt_test.go): the same
// script runs against gotgt and against our daemon.
package takeover
