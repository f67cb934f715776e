package scsi

import "encoding/binary"

// VPD pages that tell an initiator how to use the unit: B0h, B1h and B2h.
// Every number here is one that a handler enforces.
func init() {
	registerVPD(vpdPage{Code: 0xb0, Name: "Block Limits", Append: appendLimits})
	registerVPD(vpdPage{Code: 0xb1, Name: "Block Device Characteristics", Append: appendCharacteristics})
	registerVPD(vpdPage{Code: 0xb2, Name: "Logical Block Provisioning", Append: appendProvisioning})
}

const (
	// maxCompareBlocks is MAXIMUM COMPARE AND WRITE LENGTH: more than one block
	// could be torn by a power cut.
	maxCompareBlocks = 1
	// maxBulkBlocks is the longest range of one UNMAP, in blocks: short enough
	// to end before an initiator loses patience.
	maxBulkBlocks = 1 << 20
	// maxWriteSameBlocks is MAXIMUM WRITE SAME LENGTH. 65,535 is what fits
	// WRITE SAME(10), and with more than that libiscsi sends a WRITE of as many
	// blocks, whatever MAXIMUM TRANSFER LENGTH says.
	maxWriteSameBlocks = 1<<16 - 1
	// maxUnmapDescriptors is MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
	maxUnmapDescriptors = 256
	// optimalTransfer is OPTIMAL TRANSFER LENGTH, in bytes; Linux splits larger
	// requests at it.
	optimalTransfer = 1 << 20

	bitWSNZ = 0x01
)

// appendLimits is SBC-4 r22 6.6.4.
func appendLimits(b []byte, t *Task) []byte {
	f := t.conf
	p := make([]byte, 0x3c)
	at := func(offset int) []byte { return p[offset-4:] } // the standard counts from the header
	at(4)[0] = bitWSNZ
	at(5)[0] = maxCompareBlocks
	binary.BigEndian.PutUint16(at(6), 1<<f.physExp)
	binary.BigEndian.PutUint32(at(8), uint32(f.maxTransfer))
	binary.BigEndian.PutUint32(at(12), uint32(min(optimalTransfer>>f.shift, f.maxTransfer)))
	if f.thin {
		binary.BigEndian.PutUint32(at(20), maxBulkBlocks)
		binary.BigEndian.PutUint32(at(24), maxUnmapDescriptors)
		binary.BigEndian.PutUint32(at(28), f.unmapGranularity)
		binary.BigEndian.PutUint32(at(32), 1<<31|f.unmapAlignment)
	}
	binary.BigEndian.PutUint64(at(36), maxWriteSameBlocks)
	binary.BigEndian.PutUint32(at(44), uint32(f.atomic.most))
	if f.atomic.unit > 1 {
		binary.BigEndian.PutUint32(at(48), uint32(f.atomic.unit)) // alignment
		binary.BigEndian.PutUint32(at(52), uint32(f.atomic.unit)) // granularity
	}
	return append(b, p...)
}

// appendCharacteristics is SBC-4 r22 6.6.2. VBULS: a verify of unmapped blocks
// compares with zeros, as a read would.
func appendCharacteristics(b []byte, t *Task) []byte {
	const (
		nonRotating, nominal7200 = 0x0001, 7200
		vbuls                    = 0x01
		readableAfterErase       = 0x40 // WABEREQ 01b: blocks read without error after SANITIZE
	)
	p := make([]byte, 0x3c)
	rate := uint16(nonRotating)
	if t.conf.rotational {
		rate = nominal7200
	}
	binary.BigEndian.PutUint16(p, rate)
	if t.unit.hasMemory() {
		p[7-4] = readableAfterErase
	}
	p[8-4] = vbuls
	return append(b, p...)
}

// appendProvisioning is SBC-4 r22 6.6.6. Unmapped blocks read as zeros.
func appendProvisioning(b []byte, t *Task) []byte {
	const (
		lbpu, lbpws, lbpws10, lbprz = 0x80, 0x40, 0x20, 0x04
		provisionedThin             = 2
	)
	if !t.conf.thin {
		return append(b, 0, 0, 0, 0)
	}
	return append(b, t.unit.thresholdExponent(), lbpu|lbpws|lbpws10|lbprz, provisionedThin, 0)
}
