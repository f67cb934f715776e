package sim

import (
	"fmt"
	"sync"
	"time"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/internal/scsi"
)

// Bed is a target with one logical unit, LUN 0, on a Medium. Hosts reach it
// through Login, all by the same way.
type Bed struct {
	*Medium
	Unit   *scsi.Unit
	Device *scsi.Device

	conf Config
	wire *wire // nil: direct

	mu   sync.Mutex
	here map[scsi.Nexus]*direct
}

// Config describes a Bed. The zero value is 2,048 blocks with a write cache
// behind one port, reached directly.
type Config struct {
	Blocks       int
	Ports        int           // target ports, each a portal group of its own
	WriteThrough bool          // no write cache
	Store        pr.Store      // nil: in memory
	Slow         time.Duration // see Medium.Slow
	Wire         bool          // hosts are iSCSI sessions
	Connections  int           // of each session; 0: one
	// Server changes what the iSCSI server of a Wire bed is made of.
	Server func(*iscsi.Options, *iscsi.Node)
	Events *scsi.Events
}

// TargetName is the name of the target.
const TargetName = nodePrefix + "target"

// NewBed builds a target that nobody is logged in to.
func NewBed(c Config) *Bed {
	if c.Blocks == 0 {
		c.Blocks = 2048
	}
	if c.Ports == 0 {
		c.Ports = 1
	}
	if c.Store == nil {
		c.Store = new(prstore.Mem)
	}
	b := &Bed{Medium: NewMedium(c.Blocks), conf: c}
	b.Slow(c.Slow)
	b.boot()
	return b
}

// boot builds what a daemon builds at its start.
func (b *Bed) boot() {
	reservations, err := pr.Open(pr.Config{ID: UnitID, Store: b.conf.Store})
	if err != nil {
		panic(err)
	}
	b.Unit, err = scsi.NewUnit(scsi.UnitConfig{
		Identity:  scsi.Identity{Name: "disk", UUID: [16]byte{1}, Serial: "1", NAA: naa},
		BlockSize: BlockSize, WriteCache: !b.conf.WriteThrough, Thin: true, Events: b.conf.Events,
		// No command is missing for want of a place to remember things.
		Remember:  func(scsi.Memory) error { return nil },
		SetAccess: func(map[uint16]scsi.AccessState) error { return nil },
	}, b.Medium, reservations)
	if err != nil {
		panic(err)
	}
	var ports []scsi.Port
	for i := range b.conf.Ports {
		ports = append(ports, scsi.Port{Name: portName(i), Relative: uint16(i + 1), Group: uint16(i + 1)})
	}
	b.Device = scsi.NewDevice(TargetName, ports)
	b.here = map[scsi.Nexus]*direct{}
	if b.conf.Wire {
		b.wire = newWire(b)
	}
}

var naa = []byte{0x30, 0, 0, 0, 0, 0, 0, 1}

// Designator names the unit, for copies.
func Designator() initiator.Designator {
	return initiator.Designator{CodeSet: 1, Type: initiator.DesignatorNAA, ID: naa}
}

// UnitID names the unit in the reservation store.
const UnitID = "unit"

// Store is where the reservations are kept.
func (b *Bed) Store() pr.Store { return b.conf.Store }

func portName(i int) string { return fmt.Sprintf("%s,t,0x%04x", TargetName, i+1) }

func (b *Bed) nexus(w Who) scsi.Nexus {
	return scsi.Nexus{Initiator: pr.InitiatorPort(w.Name(), w.isid()), Target: portName(w.Port)}
}

// Login brings a nexus to life, the way the bed was configured. A nexus that
// is logged in already is replaced.
func (b *Bed) Login(w Who) (Host, error) {
	if b.wire == nil {
		return b.loginDirect(w), nil
	}
	return b.wire.remote.Login(w)
}

// Portal is the address of a target port of a Wire bed.
func (b *Bed) Portal(port int) string { return b.wire.remote.Addrs[port] }

// Server is the iSCSI server of a Wire bed.
func (b *Bed) Server() *iscsi.Server { return b.wire.server }

// Violations are what the target did wrong in the eyes of its initiators.
func (b *Bed) Violations() []initiator.Violation {
	if b.wire == nil {
		return nil
	}
	return b.wire.remote.Violations()
}

// Restart does what the end and a new start of the daemon do: all sessions
// break, nothing is kept but the medium and what the store, which open opens
// again once nobody uses it, gives back.
func (b *Bed) Restart(open func() pr.Store) {
	b.Close()
	b.conf.Store = open()
	b.boot()
}

// Close ends the sessions and the server.
func (b *Bed) Close() {
	if b.wire != nil {
		b.wire.close()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.here {
		h.Cut()
	}
}

// Sequential reports whether commands and task management functions that one
// host sends reach the unit in the order of sending.
func (b *Bed) Sequential() bool { return b.wire != nil && b.conf.Connections <= 1 }
