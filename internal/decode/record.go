package decode

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/plain"
	"nas-target/internal/scsi"
)

// Record is one PDU in words. What others chose in it is fit to be shown.
type Record struct {
	Time       time.Time `json:"time,omitzero"`
	Connection int       `json:"connection"`
	Initiator  string    `json:"initiator,omitempty"` // address
	Target     string    `json:"target,omitempty"`    // address
	FromTarget bool      `json:"from_target"`
	Offset     int64     `json:"offset"` // of its first byte in what this side sent
	PDU        string    `json:"pdu"`
	Opcode     uint8     `json:"opcode"`
	Flags      []string  `json:"flags,omitempty"`
	Fields     []Field   `json:"fields,omitempty"`
	AHS        []Field   `json:"ahs,omitempty"`
	Text       []Field   `json:"text,omitempty"`       // key=value
	Command    string    `json:"command,omitempty"`    // that it is, or belongs to
	CDB        string    `json:"cdb,omitempty"`        // hexadecimal
	CDBFields  []Field   `json:"cdb_fields,omitempty"` // of the command
	Parameters []Field   `json:"parameters,omitempty"` // of a reservation command
	Sense      string    `json:"sense,omitempty"`      // in words
	Data       int       `json:"data_bytes"`
	Took       float64   `json:"took_seconds,omitempty"` // from the command to its status
	Complaints []string  `json:"complaints,omitempty"`
}

// Field is a value with its name.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func field(name, format string, args ...any) Field {
	return Field{plain.Text(name), plain.Text(fmt.Sprintf(format, args...))}
}

func (r *Record) complain(format string, args ...any) {
	r.Complaints = append(r.Complaints, plain.Text(fmt.Sprintf(format, args...)))
}

// tags are fields that name tasks, and read better in hexadecimal.
var tags = map[string]bool{"ITT": true, "TTT": true, "RefTaskTag": true, "SNACKTag": true}

// header fills in all fields of p, flags that are set by their names.
func (r *Record) header(p pdu.PDU) {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		switch {
		case name == "CDB", name == "TotalAHSLength" && f.IsZero(), name == "DataSegmentLength" && f.IsZero():
		case f.Kind() == reflect.Bool:
			if f.Bool() {
				r.Flags = append(r.Flags, name)
			}
		case tags[name]:
			text := "none"
			if n := f.Uint(); uint32(n) != pdu.ReservedTag {
				text = fmt.Sprintf("0x%08x", n)
			}
			r.Fields = append(r.Fields, Field{name, text})
		case name == "Status" && f.Kind() == reflect.Uint8:
			r.Fields = append(r.Fields, field(name, "%v", scsi.Status(f.Uint())))
		case f.Kind() == reflect.Array && f.Type().Elem().Kind() == reflect.Uint8 && !f.Type().Implements(stringer):
			r.Fields = append(r.Fields, field(name, "%x", f.Interface()))
		default:
			r.Fields = append(r.Fields, field(name, "%v", f.Interface()))
		}
	}
}

var stringer = reflect.TypeFor[fmt.Stringer]()

// moreHeader tells the additional header segments apart. RFC 7143 §11.2.2.
func (r *Record) moreHeader(ahs []byte) (extendedCDB []byte) {
	for len(ahs) > 0 {
		a, rest, err := pdu.NextAHS(ahs)
		if err != nil {
			r.complain("%v", err)
			return extendedCDB
		}
		ahs = rest
		switch a.Type {
		case pdu.AHSBidiReadLength:
			n, err := a.BidiReadLength()
			if err != nil {
				r.complain("%v", err)
				continue
			}
			r.AHS = append(r.AHS, field("bidirectional read length", "%d", n))
		case pdu.AHSExtendedCDB:
			extendedCDB = a.Content[min(1, len(a.Content)):]
			r.AHS = append(r.AHS, field("extended CDB", "%d bytes", len(extendedCDB)))
		default:
			r.AHS = append(r.AHS, field(a.Type.String(), "%d bytes", len(a.Content)))
		}
	}
	return extendedCDB
}

// Words lists fields the way people read them.
func Words(all []Field) string {
	parts := make([]string, len(all))
	for i, f := range all {
		parts[i] = f.Name + " " + f.Value
	}
	return strings.Join(parts, ", ")
}
