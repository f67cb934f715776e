package scsi

import (
	"encoding/binary"
	"slices"
)

// logPage is one row of log parameters. SPC-4 r36f 7.3. None of ours counts
// anything that could be reset.
type logPage struct {
	Code uint8
	Name string
	// Enabled tells whether the unit has the page; nil: always.
	Enabled func(u *Unit) bool
	// Append appends the parameters as of now.
	Append func(b []byte, t *Task) ([]byte, error)
}

var logPages []*logPage // by ascending code

func registerLog(p logPage) {
	logPages = append(logPages, &p)
	slices.SortFunc(logPages, func(a, b *logPage) int { return int(a.Code) - int(b.Code) })
}

func (p *logPage) of(u *Unit) bool { return p.Enabled == nil || p.Enabled(u) }

// logParameter starts a parameter of n bytes, a list in binary format.
func logParameter(b []byte, code uint16, n int) []byte {
	const binaryList = 0x03
	b = binary.BigEndian.AppendUint16(b, code)
	return append(b, binaryList, byte(n))
}

const temperatureUnknown = 0xff

func init() {
	registerLog(logPage{Code: 0x00, Name: "Supported Log Pages", Append: func(b []byte, t *Task) ([]byte, error) {
		for _, p := range logPages {
			if p.of(t.unit) {
				b = append(b, p.Code)
			}
		}
		return b, nil
	}})
	// Temperature: a virtual disk has none. SPC-4 r36f 7.3.24.
	registerLog(logPage{Code: 0x0d, Name: "Temperature", Append: func(b []byte, _ *Task) ([]byte, error) {
		return append(logParameter(b, 0, 2), 0, temperatureUnknown), nil
	}})
	// Informational Exceptions. SPC-4 r36f 7.3.13. A failed flush is one: data
	// may be lost and an operator has to look.
	registerLog(logPage{Code: 0x2f, Name: "Informational Exceptions", Append: func(b []byte, t *Task) ([]byte, error) {
		const failurePrediction = 0x5d
		asc := byte(0)
		if t.conf.failed != nil {
			asc = failurePrediction
		}
		return append(logParameter(b, 0, 4), asc, 0, temperatureUnknown, 0), nil
	}})
}
