package iscsi

import (
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Every way a write may bring its data, for every combination of the keys that
// decide about it.
func TestWriteMatrix(t *testing.T) {
	for _, initialR2T := range []string{"Yes", "No"} {
		for _, immediateData := range []string{"Yes", "No"} {
			for _, maxR2T := range []int{1, 4} {
				for _, digests := range []string{"None", "CRC32C"} {
					keys := fmt.Sprintf("InitialR2T=%s ImmediateData=%s MaxOutstandingR2T=%d HeaderDigest=%s DataDigest=%s FirstBurstLength=4096 MaxBurstLength=6144",
						initialR2T, immediateData, maxR2T, digests, digests)
					t.Run(keys, func(t *testing.T) {
						inMemory(t, func(t *testing.T, r *rig) {
							i := r.login(keys)
							for _, blocks := range []int{1, 4, 8, 9, 12, 64} {
								for _, imm := range []int{0, 512, 1024, 4096} {
									for _, unsolicited := range []bool{false, true} {
										for _, segment := range []int{512, 3072, 8192} {
											if imm > 0 && immediateData == "No" || unsolicited && initialR2T == "Yes" || imm > blocks*512 {
												continue
											}
											writeAndCheck(i, r, blocks, imm, unsolicited, segment, maxR2T)
										}
									}
								}
							}
						})
					})
				}
			}
		}
	}
}

const (
	testFirstBurst = 4096
	testMaxBurst   = 6144
)

func writeAndCheck(i *iscsitest.Initiator, r *rig, blocks, imm int, unsolicited bool, segment, maxR2T int) {
	t := i.T
	t.Helper()
	n := blocks * 512
	data := pattern(n, byte(i.ITT))
	c := i.Write10(uint32(i.ITT)%100, uint16(blocks))
	first := min(testFirstBurst, n)
	unsolicited = unsolicited && imm < first
	c.Final = !unsolicited
	i.Send(c, data[:imm])
	at := imm
	if unsolicited {
		for sn := uint32(0); at < first; sn++ {
			k := min(segment, first-at)
			i.Send(i.Unsolicited(c.ITT, sn, uint32(at), at+k == first), data[at:at+k])
			at += k
		}
	}
	var open []*pdu.R2T
	asked, r2tsn := at, uint32(0)
	for at < n {
		for len(open) == 0 || asked < n && len(open) < maxR2T {
			q, _ := iscsitest.Expect[*pdu.R2T](i)
			require.Equal(t, c.ITT, q.ITT)
			require.Equal(t, r2tsn, q.R2TSN)
			require.EqualValues(t, asked, q.BufferOffset)
			require.EqualValues(t, min(testMaxBurst, n-asked), q.DesiredLength)
			for _, o := range open {
				require.NotEqual(t, o.TTT, q.TTT)
			}
			r2tsn++
			asked += int(q.DesiredLength)
			open = append(open, q)
		}
		q := open[0]
		open = open[1:]
		end := int(q.BufferOffset + q.DesiredLength)
		for sn := uint32(0); at < end; sn++ {
			k := min(segment, end-at)
			i.Send(i.DataOut(q, sn, uint32(at), at+k == end), data[at:at+k])
			at += k
		}
	}
	good(i, c)
	for b := range blocks {
		got := r.target.Block(binary.BigEndian.Uint32(c.CDB[2:]) + uint32(b))
		require.Equal(t, data[b*512:][:512], got[:])
	}
}

// More unsolicited data than the command needs are swallowed; it is answered
// after the last of them.
func TestUnsolicitedBeyondNeed(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("InitialR2T=No FirstBurstLength=4096")
		c := i.Write10(3, 1)
		c.EDTL, c.Final = 4096, false
		data := pattern(4096, 9)
		i.Send(c, data[:512])
		i.Silent(time.Second)
		i.Send(i.Unsolicited(c.ITT, 0, 512, false), data[512:2000])
		i.Silent(time.Second)
		i.Send(i.Unsolicited(c.ITT, 1, 2000, true), data[2000:])
		a, _ := iscsitest.Expect[*pdu.SCSIResponse](i)
		require.Equal(t, uint8(scsi.Good), a.Status)
		require.EqualValues(t, 4096-512, a.Residual)
		require.True(t, a.Underflow)
		require.Equal(t, []iscsitest.Write{{LBA: 3, Blocks: 1, First: data[0]}}, r.target.Writes())
	})
}

// A write that fails is answered after the data it promised, and no more data
// are asked for. RFC 7143 §11.4.2.
func TestFailedWriteConsumesWhatWasPromised(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("InitialR2T=No FirstBurstLength=4096")
		for _, lun := range []pdu.LUN{0, 5 << 48} {
			c := i.Write10(0, 64)
			c.LUN, c.Final = lun, false
			if lun == 0 {
				c.CDB[0] = 0xff
			}
			i.Send(c, nil)
			i.Silent(time.Second)
			for sn := range uint32(4) {
				i.Silent(time.Second)
				u := i.Unsolicited(c.ITT, sn, sn*1024, sn == 3)
				u.LUN = lun
				i.Send(u, make([]byte, 1024))
			}
			want := scsi.ErrInvalidOpcode
			if lun != 0 {
				want = scsi.ErrLUNNotSupported
			}
			checkCondition(i, c.ITT, want)
			// The tag is free, the connection works.
			c = i.Read10(0, 1)
			i.Send(c, nil)
			collectRead(i, c, 8192, 262144)
		}
		require.Empty(t, r.target.Writes())
	})
}

// dataOutFaults holds what may be wrong with the data of a write.
var dataOutFaults = []struct {
	name string
	keys string
	want *scsi.Check
	play func(i *iscsitest.Initiator, c *pdu.SCSICommand)
}{
	{"immediate data not allowed", "ImmediateData=No", scsi.ErrUnexpectedData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		i.Send(c, make([]byte, 512))
	}},
	{"immediate data over FirstBurstLength", "", scsi.ErrUnexpectedData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		i.Send(c, make([]byte, 2560))
	}},
	{"unsolicited data not allowed", "InitialR2T=Yes", scsi.ErrUnexpectedData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, nil)
		i.Send(i.Unsolicited(c.ITT, 0, 0, true), make([]byte, 2048))
	}},
	{"unsolicited burst too short", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, make([]byte, 512))
		i.Send(i.Unsolicited(c.ITT, 0, 512, true), make([]byte, 512))
	}},
	{"unsolicited burst too long", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, nil)
		i.Send(i.Unsolicited(c.ITT, 0, 0, false), make([]byte, 2000))
		i.Send(i.Unsolicited(c.ITT, 1, 2000, true), make([]byte, 1000))
	}},
	{"unsolicited without F at its end", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, nil)
		i.Send(i.Unsolicited(c.ITT, 0, 0, false), make([]byte, 2048))
	}},
	{"immediate data fill the burst, and more is announced", "", scsi.ErrUnexpectedData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, make([]byte, 2048))
		i.Send(i.Unsolicited(c.ITT, 0, 2048, true), nil)
	}},
	{"unsolicited DataSN gap", "", scsi.ErrDataDigest, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, nil)
		i.Send(i.Unsolicited(c.ITT, 1, 0, true), make([]byte, 2048))
	}},
	{"unsolicited offset", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Final = false
		i.Send(c, nil)
		i.Send(i.Unsolicited(c.ITT, 0, 4, true), make([]byte, 2044))
	}},
	{"solicited too short", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 0, true), make([]byte, 512))
	}},
	{"solicited too long", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 0, false), make([]byte, 4000))
		i.Send(i.DataOut(q, 1, 4000, true), make([]byte, 200))
	}},
	{"solicited without F at its end", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 0, false), make([]byte, 4096))
	}},
	{"solicited DataSN twice", "", scsi.ErrDataDigest, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 0, false), make([]byte, 2048))
		i.Send(i.DataOut(q, 0, 2048, true), make([]byte, 2048))
	}},
	{"solicited DataSN 27", "", scsi.ErrDataDigest, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 27, 0, true), make([]byte, 4096))
	}},
	{"solicited DataSN -1", "", scsi.ErrDataDigest, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 1<<32-1, 0, true), make([]byte, 4096))
	}},
	{"solicited DataSN backwards", "", scsi.ErrDataDigest, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 1, 0, false), make([]byte, 2048))
		i.Send(i.DataOut(q, 0, 2048, true), make([]byte, 2048))
	}},
	{"solicited overlap", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 0, false), make([]byte, 2048))
		i.Send(i.DataOut(q, 1, 1024, true), make([]byte, 3072))
	}},
	{"solicited outside the R2T", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 4096, true), make([]byte, 4096))
	}},
	{"solicited offset wraps", "", scsi.ErrIncorrectData, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		q := ask(i, c)
		i.Send(i.DataOut(q, 0, 1<<32-512, true), make([]byte, 4096))
	}},
	{"task attribute 5", "", scsi.ErrInvalidIU, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Attr = 5
		i.Send(c, nil)
	}},
	{"task attribute 6", "", scsi.ErrInvalidIU, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Attr = 6
		i.Send(c, nil)
	}},
	{"task attribute 7", "", scsi.ErrInvalidIU, func(i *iscsitest.Initiator, c *pdu.SCSICommand) {
		c.Attr = 7
		i.Send(c, nil)
	}},
}

func ask(i *iscsitest.Initiator, c *pdu.SCSICommand) *pdu.R2T {
	i.Send(c, nil)
	q, _ := iscsitest.Expect[*pdu.R2T](i)
	require.EqualValues(i.T, 4096, q.DesiredLength)
	return q
}

// Whatever is wrong with the data, the write does not happen, ends with the
// right sense, and the connection goes on.
func TestDataOutFaults(t *testing.T) {
	for _, c := range dataOutFaults {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				keys := c.keys
				if keys == "" {
					keys = "InitialR2T=No"
				}
				i := r.login(keys + " FirstBurstLength=2048 MaxBurstLength=4096")
				w := i.Write10(0, 8)
				c.play(i, w)
				checkCondition(i, w.ITT, c.want)
				require.Empty(t, r.target.Writes())
				writeAgain := i.Write10(1, 1)
				i.Send(writeAgain, nil)
				q, _ := iscsitest.Expect[*pdu.R2T](i)
				i.Send(i.DataOut(q, 0, 0, true), pattern(512, 1))
				good(i, writeAgain)
				require.Len(t, r.target.Writes(), 1)
				synctest.Wait()
				require.Zero(t, r.srv.Sessions()[0].Conns[0].Tasks)
			})
		})
	}
}

// Data for nobody are dropped with a Reject and change nothing. RFC 7143
// §11.17.1.
func TestDataOutForNobody(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("InitialR2T=No FirstBurstLength=2048 MaxBurstLength=4096")
		w := i.Write10(0, 8)
		q := ask(i, w)
		for _, bad := range []func(*pdu.DataOut){
			func(d *pdu.DataOut) { d.ITT += 100 },
			func(d *pdu.DataOut) { d.TTT += 100 },
			func(d *pdu.DataOut) { d.TTT = pdu.ReservedTag },
			func(d *pdu.DataOut) { d.LUN = 1 << 48 },
		} {
			d := i.DataOut(q, 0, 0, true)
			bad(d)
			for _, n := range []int{0, 512, 4096} {
				i.Send(d, make([]byte, n))
				a, data := iscsitest.Expect[*pdu.Reject](i)
				require.Equal(t, pdu.RejectInvalidField, a.Reason)
				require.Len(t, data, pdu.BHSLen)
			}
		}
		r.requireSaw(ReasonDataOutUnknown)
		r.requireSaw(ReasonDataOutLUN)
		i.Send(i.DataOut(q, 0, 0, true), pattern(4096, 1))
		good(i, w)
		require.Len(t, r.target.Writes(), 1)
	})
}

// A task that is aborted by others while its data arrive keeps its buffer
// until they are in: nobody else's memory is written.
func TestAbortWhileDataArrive(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxBurstLength=65536")
		w := i.Write10(0, 128)
		i.Send(w, nil)
		q, _ := iscsitest.Expect[*pdu.R2T](i)
		d := i.Encode(i.DataOut(q, 0, 0, true), nil, pattern(65536, 1))
		i.SendRaw(d[:30000])
		synctest.Wait()
		r.target.Detach() // all tasks of the nexus end without a word
		synctest.Wait()
		i.SendRaw(d[30000:])
		i.Silent(time.Second)
		require.Empty(t, r.target.Writes())
		require.Zero(t, r.srv.Sessions()[0].Conns[0].Tasks)
		n := i.NextITT()
		i.Send(&pdu.NOPOut{Immediate: true, ITT: n, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil)
		a, _ := iscsitest.Expect[*pdu.NOPIn](i)
		require.Equal(t, n, a.ITT)
	})
}

// A connection cut at any byte of a write burst leaves nothing of it: neither
// on the medium nor in memory.
func TestCutMidBurst(t *testing.T) {
	for _, kill := range []bool{false, true} {
		cutMidBurst(t, kill)
	}
}

func cutMidBurst(t *testing.T, kill bool) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) {
			r.target = iscsitest.NewTarget()
			return r.target, nil
		}
		for cut, whole := 0, 1; cut < whole; cut += 97 {
			i := r.login("DefaultTime2Retain=0 InitialR2T=No FirstBurstLength=2048 MaxBurstLength=20480")
			w := i.Write10(0, 64)
			w.Final = false
			r2t := &pdu.R2T{ITT: w.ITT, TTT: 1}
			stream := i.Encode(w, nil, make([]byte, 512))
			stream = append(stream, i.Encode(i.Unsolicited(w.ITT, 0, 512, true), nil, make([]byte, 1536))...)
			stream = append(stream, i.Encode(i.DataOut(r2t, 0, 2048, true), nil, make([]byte, 20480))...)
			whole = len(stream)
			go func() { // answers nothing, as R2Ts are foreseen
				for {
					if _, _, err := i.Read(); err != nil {
						return
					}
				}
			}()
			i.SendRaw(stream[:cut])
			synctest.Wait()
			if kill { // by us: the nexus is let go of first
				require.True(t, r.srv.KillSession(r.srv.Sessions()[0].ID))
			}
			i.Conn.Close()
			synctest.Wait()
			require.Zero(t, r.srv.memory.Load(), "cut at %d", cut)
			require.Empty(t, r.srv.Sessions())
			require.Empty(t, r.target.Writes())
		}
	})
}

// A write that had all it needed is done when the rest of what was promised
// goes wrong. It does not end with GOOD all the same: the initiator sent
// something else than it said.
func TestFaultBehindWhatWasNeeded(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("InitialR2T=No FirstBurstLength=4096")
		c := i.Write10(3, 1)
		c.EDTL, c.Final = 4096, false
		i.Send(c, make([]byte, 512))
		i.Send(i.Unsolicited(c.ITT, 7, 512, true), make([]byte, 3584))
		checkCondition(i, c.ITT, scsi.ErrDataDigest)
	})
}
