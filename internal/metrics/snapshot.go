package metrics

import (
	"time"

	"nas-target/internal/scsi"
)

// Snapshot is the daemon at one moment.
type Snapshot struct {
	Started time.Time
	Ready   bool
	Portals []Portal
	Targets []Target
	LUNs    []LUN
	Audit   Audit

	LogLinesDropped uint64
}

// Portal is an address that initiators connect to.
type Portal struct {
	Address string
	Group   uint16
	Up      bool
}

// Target is who is logged in to a target.
type Target struct {
	Name     string
	Sessions int
	Commands int           // under way
	Oldest   time.Duration // of the command under way longest
}

// LUN is a logical unit.
type LUN struct {
	Name, Target, UUID, NAA, Backstore string
	Number                             uint16
	Bytes                              int64
	Allocated                          int64 // 0: not known
	WriteCache, Failed                 bool
	Total                              scsi.Totals

	Registrations int
	Live          int // registrations whose session lives
	Generation    uint32
	Known         bool   // the reservation information is neither lost nor unreadable
	Type          string // of the reservation; "": there is none
	Holder        string // initiator node name; "" where every registrant holds
	HolderLive    bool
	Findings      []Finding
}

// Finding counts what a diagnosis found of one code.
type Finding struct {
	Code, Severity string
	Count          int
}

// Audit is how the audit trail fares.
type Audit struct {
	Written, Lost, Failed uint64
	Failing               bool
}
