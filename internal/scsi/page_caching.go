package scsi

// Caching mode page. SBC-4 r22 6.5.6. WCE is the truth about when a write is
// durable, and it is obeyed; there is no read cache of ours to disable.
func init() {
	const bitWCE = 0x04
	registerMode(modePage{
		Page: 0x08, Name: "Caching",
		Bytes: func(f *conf) []byte {
			b := append(pageHeader(0x08, 0, 0x12), make([]byte, 0x12)...)
			if f.writeCache {
				b[2] |= bitWCE
			}
			return b
		},
		Mask:  []byte{2: bitWCE},
		Apply: func(f *conf, p []byte) { f.writeCache = p[2]&bitWCE != 0 },
	})
}
