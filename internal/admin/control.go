package admin

import (
	"context"
	"time"
)

// Control is all the API may ask of a running daemon.
type Control interface {
	Status(context.Context) Status
}

// Status is everything there is to see at one moment.
type Status struct {
	Version  string    `json:"version" doc:"of the daemon"`
	PID      int       `json:"pid" doc:"process id of the daemon"`
	Started  time.Time `json:"started"`
	DataDir  string    `json:"data_dir"`
	Portals  []Portal  `json:"portals"`
	Targets  []Target  `json:"targets"`
	Sessions []Session `json:"sessions"`
}

// Portal is an address that initiators connect to.
type Portal struct {
	Group   uint16 `json:"group" doc:"target portal group tag"`
	Address string `json:"address"`
}

// Target is a SCSI target device and its logical units.
type Target struct {
	Name   string `json:"name"`
	Alias  string `json:"alias,omitempty"`
	Access string `json:"access" enum:"listed,open"`
	LUNs   []LUN  `json:"luns"`
}

// LUN is a logical unit.
type LUN struct {
	LUN          uint16      `json:"lun"`
	Name         string      `json:"name"`
	UUID         string      `json:"uuid"`
	NAA          string      `json:"naa" doc:"what initiators know the disk by (VPD page 83h), hexadecimal"`
	Serial       string      `json:"serial" doc:"unit serial number (VPD page 80h)"`
	Backstore    string      `json:"backstore"`
	Bytes        int64       `json:"bytes"`
	BlockSize    int         `json:"block_size"`
	WriteCache   bool        `json:"write_cache" doc:"writes are answered before they are durable (WCE)"`
	ReadOnly     bool        `json:"read_only"`
	Failure      string      `json:"failure,omitempty" doc:"why the medium refuses writes"`
	Reservations Reservation `json:"reservations"`
}

// Reservation is who holds a logical unit, and who may.
type Reservation struct {
	Condition     string         `json:"condition" enum:"normal,information-lost,not-ready"`
	Generation    uint32         `json:"generation"`
	APTPL         bool           `json:"aptpl" doc:"survives a loss of power"`
	Type          string         `json:"type,omitempty" doc:"of the reservation; absent if there is none"`
	Holder        string         `json:"holder,omitempty" doc:"initiator port; absent also where every registrant holds"`
	Legacy        string         `json:"legacy,omitempty" doc:"initiator port that holds an SPC-2 reservation"`
	Registrations []Registration `json:"registrations"`
}

// Registration is an initiator port registered through a target port.
type Registration struct {
	Initiator string `json:"initiator"`
	Target    string `json:"target"`
	Key       string `json:"key" doc:"0x and 16 hexadecimal digits"`
	Live      bool   `json:"live" doc:"it has a session now"`
}

// Session is a logged-in initiator.
type Session struct {
	Initiator string    `json:"initiator" doc:"initiator port name"`
	Target    string    `json:"target" doc:"target port name"`
	Address   string    `json:"address" doc:"of its first connection"`
	Since     time.Time `json:"since"`
}

// SocketName is the name of the socket in a daemon's data directory.
const SocketName = "admin.sock"
