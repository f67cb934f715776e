package scsi

import (
	"bytes"

	"nas-target/internal/pr"
)

// READ BUFFER and WRITE BUFFER. SPC-4 r36f 6.18, 6.49. There is an echo buffer
// for each nexus, and no other.
func init() {
	register(Command{
		Op: 0x3b, Name: "WRITE BUFFER", Access: pr.Write, Dir: DataOut, Flags: Slow | Standby | Unavailable | WithoutPR,
		Usage: "3b 1f ff ff ff ff ff ff ff 00", Length: Field{6, 3},
		OutBytes: writeBufferBytes, Run: runWriteBuffer,
	})
	register(Command{
		Op: 0x3c, Name: "READ BUFFER", Access: pr.Read, Dir: DataIn, Flags: Standby | Unavailable | WithoutPR,
		Usage: "3c 1f ff ff ff ff ff ff ff 00", Length: Field{6, 3},
		Run: runReadBuffer,
	})
}

// MODE values.
const (
	bufferDescriptor     = 0x03
	bufferEcho           = 0x0a
	bufferEchoDescriptor = 0x0b
)

const echoCapacity = 4096 // bytes; the field has 13 bits

// echoFields refuses what the echo modes reserve: buffer ID and offset.
func echoFields(cdb *[16]byte) error {
	for i := 2; i < 6; i++ {
		if cdb[i] != 0 {
			return ErrInvalidField.AtCDB(i, 7)
		}
	}
	return nil
}

func writeBufferBytes(t *Task) (int, error) {
	if t.CDB[1] != bufferEcho { // microcode comes by other ways
		return 0, ErrInvalidField.AtCDB(1, 4)
	}
	n := int(t.cmd.Length.In(&t.CDB))
	if n > echoCapacity {
		return 0, ErrInvalidField.AtCDB(6, 7)
	}
	return n, echoFields(&t.CDB)
}

func runWriteBuffer(t *Task) error {
	p := bytes.Clone(t.Out[:t.Need])
	if p == nil {
		p = []byte{}
	}
	t.itl.mu.Lock()
	t.itl.echo = p
	t.itl.mu.Unlock()
	return nil
}

func runReadBuffer(t *Task) error {
	const overwriteSafe = 0x01 // EBOS: nobody else's echo overwrites it
	switch t.CDB[1] {
	case bufferDescriptor:
		t.reply(make([]byte, 4)) // no buffer has this ID
		return nil
	case bufferEchoDescriptor:
		t.reply([]byte{overwriteSafe, 0, echoCapacity >> 8, echoCapacity & 0xff})
		return nil
	case bufferEcho:
	default:
		return ErrInvalidField.AtCDB(1, 4)
	}
	if err := echoFields(&t.CDB); err != nil {
		return err
	}
	t.itl.mu.Lock()
	p := t.itl.echo
	t.itl.mu.Unlock()
	if p == nil {
		return ErrCommandSequence // nothing was written before
	}
	t.reply(p)
	return nil
}
