package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// SANITIZE. SBC-4 r22 5.30, 4.11. It needs memory: a sanitize must go on after
// a restart. There is no cryptographic erase.
func init() {
	sanitize := func(sa uint16, name, usage string, run func(*Task) error) {
		register(Command{
			Op: opSanitize, SA: sa, HasSA: true, Name: "SANITIZE/" + name, Access: pr.Write, Dir: DataOut,
			Flags: Writes | Slow | AfterErase, Usage: usage, Length: Field{7, 2},
			Enabled: (*Unit).hasMemory, OutBytes: sanitizeBytes, Run: run,
		})
	}
	sanitize(sanitizeOverwrite, "OVERWRITE", "48 a1 00 00 00 00 00 ff ff 00", runSanitizeOverwrite)
	sanitize(sanitizeBlockErase, "BLOCK ERASE", "48 a2 00 00 00 00 00 ff ff 00", func(t *Task) error {
		return t.sanitize(Erase{Kind: EraseBlocks})
	})
	sanitize(sanitizeExitFailure, "EXIT FAILURE MODE", "48 bf 00 00 00 00 00 ff ff 00", runSanitizeExit)
}

const (
	opSanitize          = 0x48
	sanitizeOverwrite   = 0x01
	sanitizeBlockErase  = 0x02
	sanitizeExitFailure = 0x1f

	sanitizeHeader = 4
)

// sanitizeBytes refuses lists that cannot be: an overwrite has a header and a
// pattern of at most a block, the others have none.
func sanitizeBytes(t *Task) (int, error) {
	n := int(t.cmd.Length.In(&t.CDB))
	ok := n == 0
	if t.cmd.SA == sanitizeOverwrite {
		ok = n > sanitizeHeader && n <= sanitizeHeader+int(t.conf.blockSize)
	}
	if !ok {
		return 0, ErrInvalidField.AtCDB(7, 7)
	}
	return n, nil
}

// runSanitizeOverwrite reads the list: INVERT, TEST and OVERWRITE COUNT in byte
// 0, the length of the pattern, the pattern.
func runSanitizeOverwrite(t *Task) error {
	const bitInvert = 0x80
	p := t.Out[:t.Need]
	passes, n := p[0]&0x1f, int(binary.BigEndian.Uint16(p[2:]))
	switch {
	case passes == 0:
		return ErrInvalidParameter.AtData(0, 4)
	case n != len(p)-sanitizeHeader:
		return ErrInvalidParameter.AtData(2, 7)
	}
	return t.sanitize(Erase{
		Kind: EraseOverwrite, Pattern: string(p[sanitizeHeader:]), Passes: passes, Invert: p[0]&bitInvert != 0,
	})
}

func (t *Task) sanitize(e Erase) error {
	const bitImmed, bitAUSE = 0x80, 0x20
	e.Unrestricted = t.CDB[1]&bitAUSE != 0
	return t.unit.startErase(t, e, t.CDB[1]&bitImmed != 0)
}

// runSanitizeExit leaves a failed sanitize behind, if the one that failed
// allowed it. Otherwise only a sanitize that succeeds helps.
func runSanitizeExit(t *Task) error {
	u := t.unit
	e := u.recall().Erase
	switch {
	case !e.Failed || e.Kind == EraseFormat:
		return nil
	case !e.Unrestricted:
		return ErrInvalidField.AtCDB(1, 4)
	}
	if err := u.note(func(m *Memory) { m.Erase = Erase{} }); err != nil {
		return err
	}
	u.change(func(f *conf) { f.notReady = nil })
	return nil
}
