// Package conformance runs libiscsi's test tool (iscsi-test-cu, Debian package
// libiscsi-bin) against a target and keeps what came out of every single test.
//
// The tool reports a test as passed when the target does not implement what is
// tested: it prints [SKIPPED] and goes on. Counted that way a target with no
// commands at all looks good, so a test that printed [SKIPPED] counts as
// skipped here, with the tool's reason, and never as passed. A test that does
// not end in time has hung, one that killed the tool has crashed.
//
// Every test runs in a process of its own, so that each has its own time limit
// and a hang is blamed on the right one; after a hang the caller starts a
// fresh target.
//
// A test of the tool that says nothing about any target is broken, and is not
// run; what it was meant to show is ours to show. Some tests need a disk of
// their own kind, read-only for example, and get one.
//
// The tool, as of libiscsi 1.19, offers header digests in every login to a
// target and prefers to go without, so the daemon requires them to have them. Of
// data digests it knows nothing: every login says DataDigest=None, and there is
// no option. To run its tests with both, a digester between tool and daemon
// changes that one key and adds, checks and removes the data digests; the header
// digests stay the tool's own. What neither can do is send a wrong digest: that
// is for TestFlippedBits and TestDigestErrors.
//
// libiscsi.expected holds one line per test for our daemon. Any difference
// fails, an improvement too: UPDATE=1 make conformance rewrites the file, and
// its diff is the review.
package conformance
