// Package backtest holds the contract suite that every kind of store passes,
// and media that misbehave in ways real disks do.
//
//   - Run is the contract of package backstore as tests.
//   - Crash loses power: what was synced stays, a torn random part of the rest.
//   - Fail fails the Nth call, transfers short, and latches failed flushes.
//   - Stall holds calls back until released, or delays them.
//   - Log records what was applied and when.
//   - Faults and CrashFS stand in for the kernel under a file store: every
//     system call can fail, and the whole file system can lose power.
//
// Media wrap or are a backstore.Volume, so they stack: a Log of a Stall of a
// RAM store records a stuck write when it is let go.
package backtest
