package pdu

import "testing"

func benchmarkCodec(b *testing.B, p PDU) {
	h := new(BHS)
	p.Encode(h)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Decode(h)
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Encode(h)
		}
	})
}

func BenchmarkSCSICommand(b *testing.B)  { benchmarkCodec(b, new(SCSICommand)) }
func BenchmarkSCSIResponse(b *testing.B) { benchmarkCodec(b, new(SCSIResponse)) }
func BenchmarkDataIn(b *testing.B)       { benchmarkCodec(b, new(DataIn)) }
func BenchmarkDataOut(b *testing.B)      { benchmarkCodec(b, new(DataOut)) }

func BenchmarkHeaderDigest(b *testing.B) {
	b.ReportAllocs()
	h := new(BHS)
	for b.Loop() {
		_ = HeaderDigest(h, nil)
	}
}

func BenchmarkDataDigest64K(b *testing.B) {
	b.ReportAllocs()
	data := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		_ = DataDigest(data)
	}
}

func BenchmarkParseText(b *testing.B) {
	b.ReportAllocs()
	wire := Text{
		{"InitiatorName", "iqn.1993-08.org.debian:01:abcdef"}, {"HeaderDigest", "None"},
		{"MaxRecvDataSegmentLength", "262144"}, {"MaxBurstLength", "16776192"},
	}.Append(nil)
	for b.Loop() {
		if _, err := ParseText(wire, TextLimits{}); err != nil {
			b.Fatal(err)
		}
	}
}
