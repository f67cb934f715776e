package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"nas-target/internal/initiator"
)

// LBA is block i of the range that may be written.
func (t *T) LBA(i int) uint64 {
	if uint64(i) >= t.r.span {
		panic(fmt.Sprintf("verify: block %d of a range of %d", i, t.r.span))
	}
	return t.r.lba + uint64(i)
}

// BlockSize is the size of a logical block in bytes.
func (t *T) BlockSize() int { return t.r.blockSize }

// Pattern makes blocks that no other seed makes.
func (t *T) Pattern(seed uint64, blocks int) []byte {
	b := make([]byte, blocks*t.r.blockSize)
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], (seed+1)*0x9e3779b97f4a7c15^uint64(i)*0xbf58476d1ce4e5b9)
	}
	return b
}

func (n *Nexus) readCmd(lba uint64, blocks int) initiator.Cmd {
	return initiator.Read10(uint32(lba), uint16(blocks), n.t.r.blockSize, 0)
}

func (n *Nexus) writeCmd(lba uint64, data []byte) initiator.Cmd {
	return initiator.Write10(uint32(lba), data, n.t.r.blockSize, 0)
}

// read16 tells units that READ (10) does not reach.
func (t *T) read16() bool { return t.r.blocks > 1<<32 }

// Read is a read of blocks in the form that reaches them.
func (n *Nexus) Read(lba uint64, blocks int) initiator.Cmd {
	if n.t.read16() {
		return initiator.Read16(lba, uint32(blocks), n.t.r.blockSize, 0)
	}
	return n.readCmd(lba, blocks)
}

// Write is a write of blocks in the form that reaches them.
func (n *Nexus) Write(lba uint64, data []byte) initiator.Cmd {
	if n.t.read16() {
		return initiator.Write16(lba, data, n.t.r.blockSize, 0)
	}
	return n.writeCmd(lba, data)
}

// Holds judges what is on the medium, and stops the case if it is not that.
func (n *Nexus) Holds(lba uint64, data []byte, what string) {
	r := n.Must(n.Read(lba, len(data)/n.t.r.blockSize))
	got := what
	if i := differs(r.Data, data); i >= 0 {
		got = fmt.Sprintf("other data, from byte %d on", i)
	}
	n.saw(fmt.Sprintf("the medium from LBA %d on", lba), got, what)
}

// differs is the first byte that two texts do not share, -1 if they are equal.
func differs(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Held is a write whose data the nexus keeps back.
type Held struct {
	n    *Nexus
	task *initiator.Task
	did  string
}

// Hold starts a write and keeps its data back. It returns once the target has
// asked for them: unsolicited data is an offer, not a duty. RFC 7143 §11.3.1.
func (n *Nexus) Hold(c initiator.Cmd) *Held {
	c.HoldData, c.NoUnsolicited = true, true
	ctx, cancel := n.t.within()
	defer cancel()
	did := describe(c) + ", its data kept back"
	task, err := n.U.Start(ctx, c)
	if err == nil {
		_, err = task.AwaitR2T(ctx)
	}
	if err != nil {
		n.noAnswer(did, err)
	}
	n.t.record(Step{Nexus: n.Name, Did: did, Got: "the target asks for the data (R2T)"})
	return &Held{n: n, task: task, did: describe(c)}
}

// Release sends the data.
func (h *Held) Release() {
	h.n.t.record(Step{Nexus: h.n.Name, Did: "sends the data of " + h.did})
	h.task.Release()
}

// End waits for the command's end; none is an end, too, once a ping that was
// sent after the data has been answered and the target had time.
func (h *Held) End(patience context.Context) (initiator.Response, bool) {
	r, err := h.task.Wait(patience)
	got := answer(r)
	if err != nil {
		got = errText(err)
		if patience.Err() != nil {
			got = "no answer"
		}
	}
	h.n.t.record(Step{Nexus: h.n.Name, Did: "the end of " + h.did, Got: got})
	return r, err == nil
}
