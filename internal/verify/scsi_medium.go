package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"nas-target/internal/initiator"
)

func init() {
	c := func(id, title, clause, demand string, level Level, run func(*T)) Case {
		return Case{ID: "scsi." + id, Title: title, Clause: clause, Demand: demand, Level: level, run: run}
	}
	writes := func(c Case) Case { c.Destructive, c.data = true, true; return c }
	beyond := illegal(initiator.ASCLBAOutOfRange)
	define(
		c("range.read", "Reads beyond the end are refused", "SBC-4 r22 4.18, 5.11", "a READ at or across the capacity ends with LBA OUT OF RANGE, also of no blocks; of no blocks at the last block it ends with GOOD", Required,
			func(t *T) {
				a := t.Nexus(0)
				bs, end := t.BlockSize(), t.r.blocks
				a.Check(initiator.Read16(end, 1, bs, 0), either(beyond, badOpcode))
				a.Check(initiator.Read16(end-1, 2, bs, 0), either(beyond, badOpcode))
				a.Check(initiator.Read16(1<<63, 1, bs, 0), either(beyond, badOpcode))
				a.Check(initiator.Read16(^uint64(0), 1, bs, 0), either(beyond, badOpcode))
				if end < 1<<32 {
					a.Check(initiator.Read10(uint32(end), 1, bs, 0), beyond)
					a.Check(initiator.Read10(uint32(end), 0, bs, 0), beyond)
					a.Check(initiator.Read10(uint32(end-1), 0, bs, 0), good)
				}
			}),
		writes(c("range.write", "Writes beyond the end are refused", "SBC-4 r22 4.18", "a WRITE across the capacity ends with LBA OUT OF RANGE and writes nothing, not even the part that fits", Required,
			func(t *T) {
				a := t.Nexus(0)
				end := t.r.blocks
				last := a.Must(initiator.Read16(end-1, 1, t.BlockSize(), 0)).Data
				a.Check(initiator.Write16(end-1, t.Pattern(5, 2), t.BlockSize(), 0), beyond)
				if r := a.Must(initiator.Read16(end-1, 1, t.BlockSize(), 0)); !bytes.Equal(r.Data, last) {
					t.Wrong("the refused write changed the last block")
				}
			})),
		writes(c("write.read-back", "What is written is read", "SBC-4 r22 5.11, 5.37", "every form of WRITE stores what every form of READ returns", Required, readBack)),
		c("protection", "Protection information that does not exist is refused", "SBC-4 r22 5.11", "with PROTECT=0 in INQUIRY a READ with RDPROTECT ends with INVALID FIELD IN CDB", Required,
			func(t *T) {
				if t.r.inquiry.Protect {
					t.Absent("PROTECT is 1")
				}
				t.Nexus(0).Expect(initiator.Read10(0, 1, t.BlockSize(), initiator.Protect(1)), badCDB)
			}),
		c("fua.read", "DPO and FUA of reads are what DPOFUA says", "SBC-4 r22 6.4.1", "with DPOFUA=1 in MODE SENSE data a READ with DPO and FUA ends with GOOD, with DPOFUA=0 with INVALID FIELD IN CDB", Required,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Do(initiator.ModeSense6(0, initiator.PageAll, 0, false, 255))
				m, err := initiator.DecodeMode6(r.Data)
				if !r.Good() || err != nil {
					t.Absent("MODE SENSE (6) does not tell DPOFUA")
				}
				w := badCDB
				if m.DPOFUA {
					w = good
				}
				t.Note("DPOFUA=%v", m.DPOFUA)
				a.Check(initiator.Read10(0, 1, t.BlockSize(), initiator.FUA), w)
				a.Check(initiator.Read10(0, 1, t.BlockSize(), initiator.DPO), w)
			}),
		c("sync", "SYNCHRONIZE CACHE", "SBC-4 r22 5.33", "it ends with GOOD for the whole unit and for a range, and with LBA OUT OF RANGE beyond the end", Required,
			func(t *T) {
				a := t.Nexus(0)
				a.Check(initiator.SyncCache10(0, 0, false), good)
				a.Check(initiator.SyncCache10(0, 1, false), good)
				if t.r.blocks < 1<<32 {
					a.Check(initiator.SyncCache10(uint32(t.r.blocks), 1, false), beyond)
				}
				r := a.Do(initiator.SyncCache16(0, 0, false))
				if !r.Good() && !unsupported(r) {
					t.Wrong("SYNCHRONIZE CACHE (16): %s, must be GOOD", answer(r))
				}
			}),
		c("verify", "VERIFY compares", "SBC-4 r22 5.36", "BYTCHK=01b with the same data ends with GOOD, with other data with MISCOMPARE; BYTCHK=10b with INVALID FIELD IN CDB", Optional,
			func(t *T) {
				a := t.Nexus(0)
				data := a.Must(a.Read(0, 1)).Data
				r := a.Do(initiator.Verify10(0, 1, initiator.BytChkNone, 0, nil))
				if unsupported(r) {
					t.Absent("VERIFY (10) is not implemented")
				}
				a.Check(initiator.Verify10(0, 1, initiator.BytChkNone, 0, nil), good)
				a.Check(initiator.Verify10(0, 1, initiator.BytChkBlocks, 0, data), good)
				other := bytes.Clone(data)
				other[7] ^= 0xff
				a.Check(initiator.Verify10(0, 1, initiator.BytChkBlocks, 0, other), sense(initiator.Miscompare, initiator.ASCMiscompare))
				a.Check(initiator.Verify10(0, 1, initiator.BytChkReserved, 0, nil), badCDB)
			}),
		writes(c("compare-and-write", "COMPARE AND WRITE", "SBC-4 r22 5.3", "equal data are replaced; unequal data end with MISCOMPARE, change nothing, and the sense data tell the first byte that differs", Required, compareAndWrite)),
		func() Case {
			c := writes(c("compare-and-write.atomic", "COMPARE AND WRITE is one event", "SBC-4 r22 5.3", "of two nexuses that replace the same block at the same moment one succeeds, the other finds a miscompare: no step is lost", Required, casRace))
			c.Nexuses = 2
			return c
		}(),
		c("compare-and-write.announced", "COMPARE AND WRITE is announced", "SBC-4 r22 6.6.4", "MAXIMUM COMPARE AND WRITE LENGTH of page B0h is not 0: clusters of ESXi need the command", Recommended,
			func(t *T) {
				if t.announcedCAW(t.Nexus(0)) == 0 {
					t.Fail("page B0h does not announce COMPARE AND WRITE")
				}
			}),
		writes(c("unmap", "UNMAP", "SBC-4 r22 5.35", "if announced: it ends with GOOD, blocks read zeros if LBPRZ says so; a list of 1 to 7 bytes ends with PARAMETER LIST LENGTH ERROR, a range beyond the end with LBA OUT OF RANGE", Required, unmap)),
		writes(c("write-same", "WRITE SAME", "SBC-4 r22 5.52, 5.53", "the block is written to every address; with UNMAP=1 a block that is not zero is written, too; NUMBER OF LOGICAL BLOCKS beyond the end ends with LBA OUT OF RANGE", Required, writeSame)),
	)
}

// forms are the ways to write and read a block that reach it.
func readBack(t *T) {
	a := t.Nexus(0)
	bs, lba := t.BlockSize(), t.LBA(4)
	writers := []initiator.Cmd{initiator.Write16(lba, t.Pattern(1, 2), bs, 0)}
	readers := []initiator.Cmd{initiator.Read16(lba, 2, bs, 0)}
	if lba < 1<<32 {
		writers = append(writers, initiator.Write10(uint32(lba), t.Pattern(2, 2), bs, 0), initiator.Write12(uint32(lba), t.Pattern(3, 2), bs, 0))
		readers = append(readers, initiator.Read10(uint32(lba), 2, bs, 0), initiator.Read12(uint32(lba), 2, bs, 0))
	}
	if lba < 1<<21-2 {
		writers = append(writers, initiator.Write6(uint32(lba), t.Pattern(4, 2), bs))
		readers = append(readers, initiator.Read6(uint32(lba), 2, bs))
	}
	for _, w := range writers {
		if r := a.Do(w); unsupported(r) {
			continue
		} else if !r.Good() {
			t.Fail("%s: %s", describe(w), answer(r))
		}
		for _, c := range readers {
			r := a.Do(c)
			if unsupported(r) {
				continue
			}
			if !r.Good() || !bytes.Equal(r.Data, w.Out) {
				t.Wrong("%s after %s: %s, other data", describe(c), describe(w), answer(r))
			}
		}
	}
}

// needCAW skips the case where COMPARE AND WRITE does not exist, and fails it
// where page B0h announces it all the same. It replaces a block by itself.
func needCAW(t *T, a *Nexus, lba uint64) {
	same := a.Must(a.Read(lba, 1)).Data
	r := a.Do(initiator.CompareAndWrite(lba, same, same, t.BlockSize(), 0))
	if !unsupported(r) && !badCDB.ok(r) {
		return
	}
	if n := t.announcedCAW(a); n > 0 {
		t.Fail("page B0h announces COMPARE AND WRITE of %d blocks, the command ends with %s", n, answer(r))
	}
	t.Absent("COMPARE AND WRITE is not implemented: %s", answer(r))
}

// announcedCAW is MAXIMUM COMPARE AND WRITE LENGTH.
func (t *T) announcedCAW(a *Nexus) int {
	if !slices.Contains(t.pages(a), initiator.VPDBlockLimits) {
		return 0
	}
	if r := a.Must(initiator.InquiryVPD(initiator.VPDBlockLimits, 64)); len(r.Data) > 5 {
		return int(r.Data[5])
	}
	return 0
}

func compareAndWrite(t *T) {
	a := t.Nexus(0)
	bs, lba := t.BlockSize(), t.LBA(4)
	needCAW(t, a, lba)
	one, two := t.Pattern(1, 1), t.Pattern(2, 1)
	a.Must(a.Write(lba, one))
	a.Expect(initiator.CompareAndWrite(lba, one, two, bs, 0), good)
	a.Holds(lba, two, "what the command wrote")
	wrong := bytes.Clone(two)
	wrong[9] ^= 0xff
	r := a.Expect(initiator.CompareAndWrite(lba, wrong, one, bs, 0), sense(initiator.Miscompare, initiator.ASCMiscompare))
	if !r.Sense.InfoValid || r.Sense.Info != 9 {
		t.Wrong("the sense data give information %d (valid %v), must be 9, the offset of the first byte that differs", r.Sense.Info, r.Sense.InfoValid)
	}
	a.Holds(lba, two, "what stood there before the miscompare")
	a.Check(initiator.CompareAndWrite(t.r.blocks, one, two, bs, 0), illegal(initiator.ASCLBAOutOfRange))
	if n := t.announcedCAW(a); n > 0 && n < 64 {
		a.Check(initiator.CompareAndWrite(lba, make([]byte, (n+1)*bs), make([]byte, (n+1)*bs), bs, 0), either(badCDB, badList))
	}
}

// casRace lets two nexuses count in one block.
func casRace(t *T) {
	a, b := t.Two()
	bs, lba := t.BlockSize(), t.LBA(5)
	needCAW(t, a, lba)
	steps := 20 * t.r.opt.Rounds
	a.Must(a.Write(lba, make([]byte, bs)))
	number := func(n uint64) []byte {
		block := make([]byte, bs)
		binary.BigEndian.PutUint64(block, n)
		return block
	}
	problems := make([]string, 2)
	var wg sync.WaitGroup
	for i, n := range []*Nexus{a, b} {
		wg.Go(func() {
			began := time.Now()
			for done := 0; done < steps; {
				if time.Since(began) > t.r.opt.Patience {
					problems[i] = fmt.Sprintf("only %d of %d steps succeeded in %v", done, steps, t.r.opt.Patience)
					return
				}
				r, err := n.try(n.Read(lba, 1))
				if err != nil || !r.Good() {
					problems[i] = fmt.Sprintf("READ: %s %v", answer(r), err)
					return
				}
				seen := binary.BigEndian.Uint64(r.Data)
				r, err = n.try(initiator.CompareAndWrite(lba, number(seen), number(seen+1), bs, 0))
				switch {
				case err != nil:
					problems[i] = errText(err)
					return
				case r.Good():
					done++
				case r.Sense.Key != initiator.Miscompare:
					problems[i] = "COMPARE AND WRITE: " + answer(r)
					return
				}
			}
		})
	}
	wg.Wait()
	for i, p := range problems {
		if p != "" {
			t.Fail("%s: %s", nexusName(i), p)
		}
	}
	r := a.Must(a.Read(lba, 1))
	a.saw(fmt.Sprintf("the block, after each nexus added one %d times", steps), fmt.Sprint(binary.BigEndian.Uint64(r.Data)), fmt.Sprint(2*steps))
}

func unmap(t *T) {
	a := t.Nexus(0)
	p, ok := t.provisioning(a)
	if !ok || !p.LBPU {
		t.Absent("UNMAP is not announced (LBPU=0 in page B2h)")
	}
	data := t.Pattern(1, 64)
	a.Must(a.Write(t.LBA(0), data))
	a.Check(initiator.UnmapRaw(nil, false), good)
	for n := 1; n < 8; n++ {
		a.Check(initiator.UnmapRaw(make([]byte, n), false), badLength)
	}
	a.Check(initiator.Unmap(initiator.Extent{LBA: t.r.blocks - 1, Blocks: 2}), illegal(initiator.ASCLBAOutOfRange))
	a.Holds(t.LBA(0), data, "what was written")
	a.Expect(initiator.Unmap(initiator.Extent{LBA: t.LBA(16), Blocks: 16}), good)
	a.Holds(t.LBA(0), data[:16*t.BlockSize()], "what was written before the range")
	a.Holds(t.LBA(32), data[32*t.BlockSize():], "what was written behind the range")
	if p.LBPRZ == 1 {
		// A block that stays mapped keeps its data: zeros or all of what stood there.
		r := a.Must(a.Read(t.LBA(16), 16)).Data
		for i := 0; i < len(r); i += t.BlockSize() {
			block := r[i : i+t.BlockSize()]
			old := data[16*t.BlockSize()+i:][:t.BlockSize()]
			if !bytes.Equal(block, make([]byte, len(block))) && !bytes.Equal(block, old) {
				t.Fail("block %d of the range is neither zeros nor what stood there", i/t.BlockSize())
			}
		}
	}
}

func writeSame(t *T) {
	a := t.Nexus(0)
	bs := t.BlockSize()
	one := t.Pattern(7, 1)
	plain := initiator.WriteSameOptions{}
	data := t.Pattern(1, 16)
	a.Must(a.Write(t.LBA(0), data))
	r := a.Do(initiator.WriteSame16(t.LBA(4), 8, one, plain))
	if unsupported(r) {
		t.Absent("WRITE SAME (16) is not implemented")
	}
	if !r.Good() {
		t.Fail("WRITE SAME (16): %s, must be GOOD", answer(r))
	}
	copy(data[4*bs:], bytes.Repeat(one, 8))
	a.Holds(t.LBA(0), data, "the block in eight places, the rest as it was")
	a.Check(initiator.WriteSame16(t.r.blocks-1, 2, one, plain), illegal(initiator.ASCLBAOutOfRange))
	if p, ok := t.provisioning(a); ok && p.LBPWS {
		two := t.Pattern(8, 1)
		a.Expect(initiator.WriteSame16(t.LBA(4), 8, two, initiator.WriteSameOptions{Unmap: true}), good)
		copy(data[4*bs:], bytes.Repeat(two, 8))
		a.Holds(t.LBA(0), data, "the block that is not zero, written although UNMAP=1")
		a.Expect(initiator.WriteSame16(t.LBA(4), 8, make([]byte, bs), initiator.WriteSameOptions{Unmap: true}), good)
		if p.LBPRZ == 1 {
			clear(data[4*bs : 12*bs])
			a.Holds(t.LBA(0), data, "zeros in eight places")
		}
	}
}
