package config

import (
	"fmt"
	"net/netip"
	"time"
)

// Config is a whole, valid configuration.
type Config struct {
	// DataDir keeps what the daemon must not forget: identities, reservations
	// and the disks that have no path of their own.
	DataDir string   `mapstructure:"data_dir"`
	Log     Log      `mapstructure:"log"`
	Page    Page     `mapstructure:"page"`
	Limits  Limits   `mapstructure:"limits"`
	CHAP    CHAP     `mapstructure:"chap"`
	ISNS    ISNS     `mapstructure:"isns"`
	Portals []Portal `mapstructure:"portals"`
	Targets []Target `mapstructure:"targets"`

	// Managed is the part of it that operators made through the API.
	Managed *Managed `mapstructure:"-"`
}

// Log says what is written about events, and how.
type Log struct {
	Level  string `mapstructure:"level"`  // debug, info, warn or error
	Format string `mapstructure:"format"` // console or json
}

// Page is where browsers, and programs elsewhere, find the daemon's page, API
// and metrics.
type Page struct {
	Listen      string   `mapstructure:"listen"`      // IP address and port; "": nowhere
	Certificate string   `mapstructure:"certificate"` // PEM files; needed beyond loopback
	Key         string   `mapstructure:"key"`
	Hosts       []string `mapstructure:"hosts"` // names it is asked for by, beside its address
}

// Limits is how long initiators may be silent.
type Limits struct {
	PingInterval time.Duration `mapstructure:"ping_interval"` // until they are asked for a sign of life; 0: never
	PingTimeout  time.Duration `mapstructure:"ping_timeout"`  // for the answer
}

// ISNS is where targets are made known.
type ISNS struct {
	Server string `mapstructure:"server"` // host:port; "": nowhere
}

// CHAP says how initiators prove who they are. The secrets are no part of the
// configuration: see LoadSecrets.
type CHAP struct {
	// SecretsFile holds "user secret" lines; a relative path starts in the
	// data directory.
	SecretsFile string    `mapstructure:"secrets_file"`
	Algorithms  []string  `mapstructure:"algorithms"` // that may be used; the initiator's order decides
	Discovery   CHAPUsers `mapstructure:"discovery"`  // who may ask for the list of targets
}

// CHAPUsers are the names of one login's two directions. User "" asks for no
// proof; MutualUser "" gives none.
type CHAPUsers struct {
	User       string `mapstructure:"user"`        // that the initiator proves to be
	MutualUser string `mapstructure:"mutual_user"` // that the target proves to be
}

// Portal is one target portal group: addresses that are one SCSI target port.
type Portal struct {
	Group  uint16           `mapstructure:"group"`  // target portal group tag, 1..65535
	Listen []netip.AddrPort `mapstructure:"listen"` // explicit addresses
}

// Access says who may log in to a target.
type Access string

const (
	// AccessListed lets in the initiators that are listed: nobody, until one is.
	AccessListed Access = "listed"
	// AccessOpen lets in whoever reaches the portal, without proof of identity.
	AccessOpen Access = "open"
)

// Digest says whether a checksum (CRC32C) protects a target's sessions.
type Digest string

const (
	DigestOffered  Digest = "offered"  // the initiator decides
	DigestRequired Digest = "required" // no login without it
	DigestRefused  Digest = "refused"  // sessions go without it
)

// Target is a SCSI target device.
type Target struct {
	Name         string      `mapstructure:"name"`  // iqn., eui. or naa., lower case
	Alias        string      `mapstructure:"alias"` // for people
	PortalGroups []uint16    `mapstructure:"portal_groups"`
	Access       Access      `mapstructure:"access"`
	HeaderDigest Digest      `mapstructure:"header_digest"`
	DataDigest   Digest      `mapstructure:"data_digest"`
	MovedTo      string      `mapstructure:"moved_to"` // logins are sent there; "": they are served
	Initiators   []Initiator `mapstructure:"initiators"`
	LUNs         []LUN       `mapstructure:"luns"`
}

// AnyInitiator as a name admits every initiator; the networks still bind it.
const AnyInitiator = "*"

// Initiator is who may log in to a target, and what it sees there.
type Initiator struct {
	Name     string         `mapstructure:"name"`     // or AnyInitiator
	Networks []netip.Prefix `mapstructure:"networks"` // source addresses; empty: any
	LUNs     []uint16       `mapstructure:"luns"`     // empty: all of the target
	CHAP     CHAPUsers      `mapstructure:"chap"`
}

// ID tells the initiators of a target apart: who, and where from.
func (i Initiator) ID() string { return fmt.Sprintf("%s%v", i.Name, i.Networks) }

// LUN is a logical unit of a target.
type LUN struct {
	LUN       uint16 `mapstructure:"lun"`
	Name      string `mapstructure:"name"` // unique in the configuration; the identity in the data directory goes by it
	Backstore string `mapstructure:"backstore"`
	BlockSize int    `mapstructure:"block_size"` // bytes, 512 or 4096
	// PhysicalBlockSize is what the disk is said to write at once, in bytes;
	// 0: 4096, or what the block device says.
	PhysicalBlockSize int    `mapstructure:"physical_block_size"`
	WriteCache        bool   `mapstructure:"write_cache"`
	ReadOnly          bool   `mapstructure:"read_only"`
	NAA               string `mapstructure:"naa"`    // takes over another target's identifier
	Serial            string `mapstructure:"serial"` // takes over another target's serial number
	// What INQUIRY says; "": this target's own.
	Vendor   string `mapstructure:"vendor"`
	Product  string `mapstructure:"product"`
	Revision string `mapstructure:"revision"`
	// EraseSpeed is how many bytes per second FORMAT UNIT and SANITIZE write at
	// most; 0: as many as they can.
	EraseSpeed int64 `mapstructure:"erase_speed"`

	// Options are the backstore's own: a pointer to the options struct of its
	// kind (backstore.Kind.NewOptions).
	Options any `mapstructure:"-"`

	// Rest holds the keys that are not ours until Options is made of them.
	Rest map[string]any `mapstructure:",remain"`
}
