package scsi

// Mode pages that are fixed.
func init() {
	// Read-Write Error Recovery. SBC-4 r22 6.5.10. The storage below corrects
	// and reallocates on its own.
	registerMode(modePage{
		Page: 0x01, Name: "Read-Write Error Recovery",
		Bytes: func(*conf) []byte {
			const awre, arre = 0x80, 0x40
			b := append(pageHeader(0x01, 0, 0x0a), make([]byte, 0x0a)...)
			b[2] = awre | arre
			return b
		},
	})
	// Power Condition. SPC-4 r36f 7.5.13. No timer ever runs.
	registerMode(modePage{
		Page: 0x1a, Name: "Power Condition",
		Bytes: func(*conf) []byte {
			return append(pageHeader(0x1a, 0, 0x26), make([]byte, 0x26)...)
		},
	})
	// Informational Exceptions Control. SPC-4 r36f 7.5.11: DEXCPT, because
	// failures are reported on the commands that meet them.
	registerMode(modePage{
		Page: 0x1c, Name: "Informational Exceptions Control",
		Bytes: func(*conf) []byte {
			const dexcpt = 0x08
			b := append(pageHeader(0x1c, 0, 0x0a), make([]byte, 0x0a)...)
			b[2] = dexcpt
			return b
		},
	})
}
