package fence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// A path is one way for data to get to the medium.
type path struct {
	name string
	// stamped: what reaches the medium begins with the stamp.
	stamped bool
	build   func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd
}

const bs = sim.BlockSize

// paths lists them. lba is the first of areaBlocks.
var paths = []path{
	{"immediate data", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		return write(r, s, lba, 1+r.IntN(8))
	}},
	{"unsolicited data", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		c := write(r, s, lba, 1+r.IntN(sim.FirstBurst/bs))
		c.NoImmediate = true
		return c
	}},
	{"solicited data", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		c := write(r, s, lba, 1+r.IntN(16))
		c.NoUnsolicited = true
		return c
	}},
	{"several R2Ts", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		return write(r, s, lba, (sim.FirstBurst+sim.MaxBurst)/bs+1+r.IntN(32))
	}},
	{"WRITE AND VERIFY", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		lba, n := place(r, lba, 1+r.IntN(8))
		return initiator.WriteVerify16(uint64(lba), at(s, lba).Blocks(n), bs, initiator.BytChkNone, 0)
	}},
	{"WRITE with FUA", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		lba, n := place(r, lba, 1+r.IntN(8))
		return initiator.Write10(uint32(lba), at(s, lba).Blocks(n), bs, initiator.FUA)
	}},
	{"WRITE SAME", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		lba, n := place(r, lba, 1+r.IntN(64))
		return initiator.WriteSame16(uint64(lba), uint32(n), at(s, lba).Blocks(1), initiator.WriteSameOptions{})
	}},
	{"COMPARE AND WRITE", true, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		// The last block is never written by anything else but by this: it
		// holds zeros or the stamp of an earlier try. One in two matches.
		lba += areaBlocks - 1
		return initiator.CompareAndWrite(uint64(lba), make([]byte, bs), at(s, lba).Blocks(1), bs, 0)
	}},
	{"ORWRITE", false, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		lba, n := place(r, lba, 1+r.IntN(4))
		return initiator.OrWrite16(uint64(lba), at(s, lba).Blocks(n), bs, 0)
	}},
	{"EXTENDED COPY", false, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		from, n := place(r, lba, 1+r.IntN(32))
		to, _ := place(r, lba, n)
		return initiator.ExtendedCopy(initiator.CopyList{
			Usage: 3, // no list identifier
			Units: []initiator.CopyUnit{{Designator: sim.Designator(), BlockSize: bs}},
			Segments: []initiator.CopySegment{
				{Blocks: uint16(n), SourceLBA: uint64(from), DestinationLBA: uint64(to), DestinationCount: true},
				{Blocks: uint16(n), SourceLBA: uint64(to), DestinationLBA: uint64(from), DestinationCount: true},
			},
		}.Marshal())
	}},
	{"WRITE USING TOKEN", false, func(r *rand.Rand, s sim.Stamp, lba int) initiator.Cmd {
		first, n := place(r, lba, 1+r.IntN(32))
		return initiator.WriteUsingToken{
			Token: initiator.ZeroToken(), Extents: []initiator.Extent{{LBA: uint64(first), Blocks: uint32(n)}},
		}.Cmd(s.Seq)
	}},
	{"UNMAP", false, func(r *rand.Rand, _ sim.Stamp, lba int) initiator.Cmd {
		first, n := place(r, lba, 1+r.IntN(64))
		return initiator.Unmap(initiator.Extent{LBA: uint64(first), Blocks: uint32(n)}, initiator.Extent{LBA: uint64(lba + areaBlocks - 1), Blocks: 1})
	}},
}

func write(r *rand.Rand, s sim.Stamp, lba, blocks int) initiator.Cmd {
	lba, n := place(r, lba, blocks)
	return initiator.Write16(uint64(lba), at(s, lba).Blocks(n), bs, 0)
}

// place chooses where in the area, but for its last block.
func place(r *rand.Rand, lba, blocks int) (first, n int) {
	return lba + r.IntN(areaBlocks-1-blocks), blocks
}

func at(s sim.Stamp, lba int) sim.Stamp {
	s.LBA = uint32(lba)
	return s
}

// shot is one command of the flood.
type shot struct {
	by     *side
	path   int // index of paths; readPath
	seq    uint32
	begin  time.Time
	hold   bool
	run    sim.Running
	answer sim.Answer
}

const readPath = -1

// flood is a number of hosts that write as fast as they can.
type flood struct {
	a    *arena
	stop atomic.Bool
	wg   sync.WaitGroup
	seq  atomic.Uint32
	// hosts are those at the start: a host that is cut stays so.
	hosts map[*side]sim.Host

	mu    sync.Mutex
	shots []*shot
}

// depth is how many commands a flooding nexus has outstanding.
const depth = 6

// start lets the sides write into their areas, and read the survivor's last
// block, until end.
func (a *arena) start(sides ...*side) *flood {
	f := &flood{a: a, hosts: map[*side]sim.Host{}}
	for _, s := range sides {
		f.hosts[s] = s.Host
	}
	for _, s := range sides {
		for range depth {
			f.wg.Add(1)
			go f.writer(s, rand.New(rand.NewPCG(a.rng.Uint64(), 1)))
		}
		f.wg.Add(1)
		go f.reader(s)
	}
	return f
}

func (f *flood) writer(s *side, r *rand.Rand) {
	defer f.wg.Done()
	for !f.stop.Load() {
		i := r.IntN(len(paths))
		seq := f.seq.Add(1)
		c := paths[i].build(r, sim.Stamp{Host: s.id, Epoch: f.a.epoch, Seq: seq}, s.area)
		// Data that the target asks for do not always come at once.
		c.HoldData = r.IntN(3) == 0
		if a := f.fire(&shot{by: s, path: i, seq: seq}, c, r.IntN(2000)); a.Conflict() || a.Fate == sim.Lost {
			time.Sleep(time.Duration(r.IntN(400)) * time.Microsecond)
		}
	}
}

func (f *flood) reader(s *side) {
	defer f.wg.Done()
	for !f.stop.Load() {
		f.fire(&shot{by: s, path: readPath}, initiator.Read16(uint64(f.a.secret()), 1, bs, 0), 0)
		time.Sleep(200 * time.Microsecond)
	}
}

// fire runs one command; its data are held back for wait microseconds after
// they have been asked for.
func (f *flood) fire(k *shot, c initiator.Cmd, wait int) sim.Answer {
	k.begin, k.hold = time.Now(), c.HoldData
	k.run = f.hosts[k.by].Start(c)
	f.mu.Lock()
	f.shots = append(f.shots, k)
	f.mu.Unlock()
	if c.HoldData {
		select {
		case <-k.run.Asked():
			time.Sleep(time.Duration(wait) * time.Microsecond)
			k.run.Release()
		case <-k.run.Done():
		}
	}
	<-k.run.Done()
	k.answer = k.run.Answer()
	return k.answer
}

// end stops the flood and returns its commands. silent says that the target
// may have ended some of them without a word.
func (f *flood) end(silent bool) []*shot {
	f.stop.Store(true)
	over := make(chan struct{})
	go func() { f.wg.Wait(); close(over) }()
	if silent {
		select {
		case <-over:
			return f.shots
		case <-time.After(20 * time.Millisecond):
		}
		for _, s := range f.a.everybody() {
			if w, r := f.open([]*side{s}); w+r > 0 {
				s.Settle()
			}
		}
	}
	select {
	case <-over:
		return f.shots
	case <-time.After(20 * time.Second):
		panic("never ended: " + f.left())
	}
}

// left describes what has no answer.
func (f *flood) left() (s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.shots {
		select {
		case <-k.run.Done():
			continue
		default:
		}
		name, asked := "READ", false
		if k.path != readPath {
			name = paths[k.path].name
		}
		select {
		case <-k.run.Asked():
			asked = true
		default:
		}
		s += fmt.Sprintf("%s of %v, write %d, for %v, held %v, asked %v\n", name, k.by.Who(), k.seq, time.Since(k.begin), k.hold, asked)
	}
	return s
}

// open counts the commands of some sides that have no answer yet, reads apart.
func (f *flood) open(of []*side) (writes, reads int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.shots {
		if !slices.Contains(of, k.by) {
			continue
		}
		select {
		case <-k.run.Done():
		default:
			if k.path == readPath {
				reads++
			} else {
				writes++
			}
		}
	}
	return writes, reads
}

// secret is the block that the survivor writes after the fence.
func (a *arena) secret() int { return a.survivor.area }
