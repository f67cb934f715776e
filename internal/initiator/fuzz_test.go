package initiator

import (
	"context"
	"testing"
	"time"
)

// Whatever a target sends after login, the session neither panics nor hangs nor
// leaks.
func FuzzTargetStream(f *testing.F) {
	seed := func(p *PDU) []byte {
		p.SetUint32(offStatSN, 102)
		p.SetUint32(offExpCmdSN, 2)
		p.SetUint32(offMaxCmdSN, 33)
		return Encoding{}.Append(nil, p)
	}
	for op := range layouts {
		p := newPDU(op, false, 0x80)
		p.SetUint32(offITT, 1)
		f.Add(seed(p))
	}
	r2t := newPDU(OpR2T, false, 0x80)
	r2t.SetUint32(offITT, 1)
	r2t.SetUint32(offBufferOff, 65536)
	r2t.SetUint32(offResidual, 4096)
	f.Add(append(seed(r2t), seed(r2t)...))
	sense := newPDU(OpSCSIResponse, false, 0x80)
	sense.SetUint32(offITT, 1)
	sense.BHS[3] = byte(CheckCondition)
	sense.Data = append([]byte{0, 18}, fixedSense(IllegalRequest, ASCInvalidFieldInCDB)...)
	f.Add(seed(sense))
	f.Fuzz(func(t *testing.T, stream []byte) {
		target := newFake(t)
		target.handle = func(c *fakeConn, p *PDU) bool {
			if p.Opcode() == OpLoginReq {
				return false
			}
			if p.Opcode() == OpSCSICommand {
				c.nc.Write(stream)
				c.nc.Close()
			}
			return true
		}
		s, err := Dial(t.Context(), target.config())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s.Do(ctx, Write10(0, make([]byte, 128<<10), fakeBlock, 0))
		if ctx.Err() != nil {
			t.Fatal("the command did not end with its connection")
		}
		s.Close()
	})
}
