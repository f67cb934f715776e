// Package backstore is where the blocks of a logical unit live: regular files,
// block devices, memory, or nowhere.
//
// # What it owns
//
// A Store is a flat array of Size bytes. Whoever opens it closes it. The
// package starts no goroutine: every call runs on its caller's, and a call that
// the disk does not answer keeps its caller until it does. It knows nothing of
// SCSI; errors are ordinary Go errors that wrap the errno, and whoever speaks
// SCSI classifies them.
//
// # The contract
//
// Every store keeps it, and backtest.Run checks it.
//
//   - ReadAt and WriteAt move all of p or return an error. A short transfer is
//     continued; what cannot be continued is an error, never a success. n says
//     how many bytes were moved before the error.
//   - A range that leaves [0, Size) is refused with ReasonOutOfRange and moves
//     nothing. A length of zero inside the range does nothing and succeeds.
//   - What was never written, or was discarded, reads as zeros, always the same.
//   - Calls may run concurrently. Overlapping calls that run concurrently have
//     no promised order; whoever needs one (COMPARE AND WRITE) locks above.
//   - A completed write is visible to every later read, and outlives the process
//     (a kill -9 loses nothing), but not a power cut.
//   - After Sync returned nil, every write, discard and zeroing that completed
//     before Sync was called survives a power cut. After WriteDurable returned
//     nil, so does that write. A power cut may keep any part of the rest, torn
//     at sector boundaries.
//   - WriteAtomic is never torn. Memory promises that of every write: what ends
//     one in the middle ends the disk. A file or device does where the kernel
//     does, which takes direct I/O. Elsewhere nothing is promised, and
//     initiators are not told of it.
//   - A flush that failed is never tried again, because the kernel marks the
//     pages clean and the second flush would report success for lost data. The
//     failure latches: every later change, Sync and WriteDurable returns the
//     same *FlushError until ClearFailure. Reads go on.
//   - A file that became shorter than its size or lost its name is not a medium
//     any more. Every call returns *ShrunkError until ClearFailure; a missing
//     tail is never read as zeros.
//   - Close waits for the calls in progress, makes nothing durable, and ends the
//     exclusive hold on the medium. Later calls get ReasonClosed.
//
// The ram store keeps all of it but durability: it is volatile and says so. The
// null store keeps none of what is written.
//
// # One write on the file store
//
// WriteAt enters the store (so that Close waits), checks the latch and the
// range, writes with pwrite until all is written, and looks at the file's
// length and link count. WriteDurable does the same with RWF_DSYNC when it is
// alone, so that a FUA write does not flush the whole page cache; when others
// are in flight it writes and joins the group commit (flush.go): a leader in
// one of two lanes flushes for everybody whose write completed before the flush
// began.
//
// With direct I/O, requests that are not aligned go through bounce buffers, and
// their edges are read, modified and written back under a range lock
// (direct.go).
//
// # System calls
//
// Stores reach the kernel through the Files interface only. Tests put a Files
// in its place that fails, delays, counts, or loses power.
package backstore
