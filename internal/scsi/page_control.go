package scsi

import "encoding/binary"

// Control and Control Extension mode pages. SPC-4 r36f 7.5.8, 7.5.9.
func init() {
	const (
		bitDSense        = 0x04
		anyOrder         = 0x10 // QUEUE ALGORITHM MODIFIER 1: simple tasks may be reordered
		bitNUAR          = 0x08
		bitSWP           = 0x08
		bitTAS           = 0x40
		busyTimeoutUnset = 0xffff
	)
	registerMode(modePage{
		Page: 0x0a, Name: "Control",
		Bytes: func(f *conf) []byte {
			b := append(pageHeader(0x0a, 0, 0x0a), make([]byte, 0x0a)...)
			set := func(at int, bit byte, on bool) {
				if on {
					b[at] |= bit
				}
			}
			set(2, bitDSense, f.descriptorSense)
			b[3] = anyOrder
			set(3, bitNUAR, f.nuar)
			set(4, bitSWP, f.swp)
			set(5, bitTAS, f.tas)
			binary.BigEndian.PutUint16(b[8:], busyTimeoutUnset)
			return b
		},
		Mask: []byte{2: bitDSense, 3: bitNUAR, 4: bitSWP, 5: bitTAS},
		Apply: func(f *conf, p []byte) {
			f.descriptorSense = p[2]&bitDSense != 0
			f.nuar = p[3]&bitNUAR != 0
			f.swp = p[4]&bitSWP != 0
			f.tas = p[5]&bitTAS != 0
		},
	})
	// MAXIMUM SENSE DATA LENGTH (byte 6) 0 would claim no limit: 252 is the
	// most that the standard allows. TCMOS, SCSIP, IALUAE: see below.
	registerMode(modePage{
		Page: 0x0a, Sub: 0x01, Name: "Control Extension",
		Bytes: func(f *conf) []byte {
			const implicitALUA = 0x01 // IALUAE: states change without an initiator asking
			b := append(pageHeader(0x0a, 0x01, 0x1c), make([]byte, 0x1c)...)
			b[4] = implicitALUA
			b[6] = MaxSense
			return b
		},
	})
}
