// Package prstore keeps the reservation state of logical units: in files that
// survive power cuts (File), or in memory (Mem).
//
// # One file per unit
//
// A file is two slots of equal, fixed size. All blocks are allocated and
// written when the file is made, under a temporary name that is renamed and
// the directory synced; from then on the file neither grows nor moves, and its
// descriptor stays open. So neither a full disk nor a lack of descriptors can
// stop a fence.
//
// Each slot holds one record: magic, format version, its place (slot number
// and size), sequence number, unit, boot id, payload, and a SHA-256 over all
// of it. Save writes the new record into one slot, syncs, then writes it into
// the other, syncs, and only then returns. This gives two different things:
//
//   - While a save runs, at least one slot holds an intact record: the old one
//     until the first sync, the new one after it. A crash anywhere leaves the
//     old or the new state.
//   - An acknowledged state stands in both slots. A slot that is damaged later
//     (a flipped bit, a bad sector) is told from the other and mended; if both
//     are damaged the information is lost, and that is what Load says. With one
//     copy per state, as with slots written in turn, a damaged newest slot
//     would look like an interrupted save and bring the state before it back:
//     a fenced node would be let in again.
//
// Load takes the intact record of the highest sequence. If the slots differ it
// writes that record into both before anybody acts on it, for from then on it
// counts as acknowledged.
//
// A save that fails is a refused command, and must not turn up after a
// restart. So Save then writes the old state again under a still higher
// sequence. Only if the medium refuses that as well may the disk hold the
// state of the refused command.
//
// # Which power cycle
//
// Each record carries the boot id of the host that wrote it. A record of this
// boot is in force as it is: a restart of the daemon is no power cycle. One of
// an earlier boot is put through State.AfterPowerCycle.
//
// # What is detected
//
// Damage, truncation, slots of another unit, another place or a newer format,
// and a file that is missing although the caller knows that it was made: all
// end in pr.ErrLost, and so does a revision below the one the caller
// remembers. A complete older copy of a file, put back while the daemon was
// down, carries nothing that tells it from the original; only that remembered
// revision does.
//
// The package starts no goroutines. File and Mem are safe for concurrent use.
package prstore
