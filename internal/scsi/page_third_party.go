package scsi

import (
	"encoding/binary"
	"time"
)

// Third-party Copy VPD page. SPC-4 r36f 7.8.17.
func init() {
	registerVPD(vpdPage{Code: 0x8f, Name: "Third-Party Copy", Append: appendThirdParty})
}

// thirdPartyCommands are the opcodes that the page lists with their service
// actions.
var thirdPartyCommands = []uint8{0x83, 0x84}

func appendThirdParty(b []byte, t *Task) []byte {
	add := func(kind uint16, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
		b = append(b, body...)
	}
	be := binary.BigEndian
	shift := t.conf.shift

	limits := make([]byte, 0x20) // block device ROD token limits; SBC-4 r22 6.6.8
	be.PutUint16(limits[10-4:], maxRODRanges)
	be.PutUint32(limits[12-4:], uint32(maxRODIdle/time.Second))
	be.PutUint32(limits[16-4:], uint32(defaultRODIdle/time.Second))
	be.PutUint64(limits[20-4:], maxRODBytes>>shift)
	be.PutUint64(limits[28-4:], optimalRODBytes>>shift)
	add(0x0000, limits)

	commands := []byte{0}
	for _, op := range thirdPartyCommands {
		at := len(commands)
		commands = append(commands, op, 0)
		for _, r := range rows {
			if r.Op == op {
				commands = append(commands, byte(r.SA))
			}
		}
		commands[at+1] = byte(len(commands) - at - 2)
	}
	commands[0] = byte(len(commands) - 1)
	add(0x0001, commands)

	parameters := make([]byte, 28)
	be.PutUint16(parameters[8-4:], maxCSCDs)
	be.PutUint16(parameters[10-4:], maxSegments)
	be.PutUint32(parameters[12-4:], maxDescriptors)
	add(0x0004, parameters)

	add(0x0008, []byte{2, segmentBlockToBlock, cscdIdentification})

	const tokenOut, tokenIn = 0x01, 0x02
	features := make([]byte, 0x2c) // no tokens of other targets
	be.PutUint32(features[24-4:], uint32(maxRODIdle/time.Second))
	add(0x0106, features)

	const kindSize = 64
	kinds := make([]byte, 4+2*kindSize)
	be.PutUint16(kinds[2:], 2*kindSize)
	be.PutUint32(kinds[4:], rodChangeVulnerable)
	kinds[4+4] = tokenOut | tokenIn
	be.PutUint32(kinds[4+kindSize:], rodZero)
	kinds[4+kindSize+4] = tokenIn
	add(0x0108, kinds)

	general := make([]byte, 32)
	be.PutUint32(general, maxCopies)
	be.PutUint32(general[8-4:], maxCopies)
	be.PutUint32(general[12-4:], maxSegmentBytes)
	general[16-4] = copyGranularity
	add(0x8001, general)
	return b
}
