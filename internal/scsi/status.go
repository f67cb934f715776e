package scsi

import "fmt"

// Status is the SCSI status byte. SAM-5 5.3.1.
type Status uint8

const (
	Good                Status = 0x00
	CheckCondition      Status = 0x02
	ConditionMet        Status = 0x04
	Busy                Status = 0x08
	ReservationConflict Status = 0x18
	TaskSetFull         Status = 0x28
	TaskAborted         Status = 0x40
)

var statusNames = map[Status]string{
	Good: "GOOD", CheckCondition: "CHECK CONDITION", ConditionMet: "CONDITION MET", Busy: "BUSY",
	ReservationConflict: "RESERVATION CONFLICT", TaskSetFull: "TASK SET FULL", TaskAborted: "TASK ABORTED",
}

func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("status %02xh", uint8(s))
}

// Attr is a task attribute. SAM-5 8.6.
type Attr uint8

const (
	Untagged Attr = iota
	Simple
	Ordered
	HeadOfQueue
	ACA
)
