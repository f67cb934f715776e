package scsi

import (
	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS. SPC-4 r36f 6.42, 6.31. The
// only diagnostic page is the one that lists the pages.
func init() {
	register(Command{
		Op: 0x1d, Name: "SEND DIAGNOSTIC", Access: pr.Write, Dir: DataOut, Flags: Slow | Standby,
		Usage: "1d f7 00 ff ff 00", Length: Field{3, 2},
		Run: runSendDiagnostic,
	})
	register(Command{
		Op: 0x1c, Name: "RECEIVE DIAGNOSTIC RESULTS", Access: pr.Read, Dir: DataIn, Flags: Standby,
		Usage: "1c 01 ff ff ff 00", Length: Field{3, 2},
		Run: runReceiveDiagnostic,
	})
}

var diagnosticPages = []byte{0, 0, 0, 1, 0} // page 00h: supported diagnostic pages

// runSendDiagnostic does the default self-test. DEVOFFL and UNITOFFL allow
// effects that it does not have.
func runSendDiagnostic(t *Task) error {
	const bitSelfTest = 0x04
	b, p := t.CDB[1], t.Out[:t.Need]
	switch {
	case b>>5 != 0:
		return ErrInvalidField.AtCDB(1, 7) // no background or extended self-test
	case b&bitSelfTest != 0 && len(p) != 0:
		return ErrInvalidField.AtCDB(3, 7)
	case b&bitSelfTest != 0:
		return t.selfTest()
	case len(p) == 0:
		return nil
	case len(p) < 4:
		return ErrParameterListLength
	case p[0] != 0:
		return ErrInvalidParameter.AtData(0, 7)
	case p[2] != 0 || p[3] != 0:
		return ErrInvalidParameter.AtData(2, 7)
	}
	return nil
}

// selfTest reads the first and the last block and asks for a flush.
func (t *Task) selfTest() error {
	buf := pool.Get(int(t.conf.blockSize))
	defer buf.Release()
	for _, lba := range []uint64{0, t.conf.blocks - 1} {
		if err := t.unit.read(buf.B, lba); err != nil {
			return ErrSelfTest.Because(err)
		}
	}
	if err := t.unit.flush(); err != nil {
		return ErrSelfTest.Because(err)
	}
	return nil
}

func runReceiveDiagnostic(t *Task) error {
	if page := t.CDB[2]; page != 0 {
		return ErrInvalidField.AtCDB(2, 7)
	}
	t.reply(diagnosticPages)
	return nil
}
