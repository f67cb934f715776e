package admin

import "time"

// Status is everything there is to see at one moment.
type Status struct {
	Time     time.Time `json:"time" doc:"when this picture was taken"`
	Version  string    `json:"version" doc:"of the daemon"`
	PID      int       `json:"pid" doc:"process id of the daemon"`
	Started  time.Time `json:"started"`
	DataDir  string    `json:"data_dir"`
	Ready    bool      `json:"ready" doc:"every configured LUN and portal is served"`
	Problems []Problem `json:"problems" doc:"what the daemon itself found wrong"`
	LogLevel string    `json:"log_level" enum:"debug,info,warn,error"`
	Work     []Work    `json:"work"`

	Portals  []Portal  `json:"portals"`
	Targets  []Target  `json:"targets"`
	Sessions []Session `json:"sessions"`
}

// Work is something that takes long.
type Work struct {
	LUN   string    `json:"lun"`
	What  string    `json:"what" enum:"preallocate"`
	Done  int64     `json:"done" doc:"bytes"`
	Total int64     `json:"total" doc:"bytes"`
	Since time.Time `json:"since"`
}

// Severity ranks problems and findings.
type Severity string

const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Problem is something an operator should look at.
type Problem struct {
	Severity Severity  `json:"severity" enum:"critical,warning,info"`
	Code     string    `json:"code" doc:"one token, for programs"`
	Subject  string    `json:"subject,omitempty" doc:"the LUN, portal or session it is about"`
	Text     string    `json:"text" doc:"what is wrong"`
	Advice   string    `json:"advice,omitempty" doc:"what can be done"`
	Since    time.Time `json:"since,omitzero"`
}

// Portal is an address that initiators connect to.
type Portal struct {
	Group    uint16 `json:"group" doc:"target portal group tag"`
	Address  string `json:"address"`
	Error    string `json:"error,omitempty" doc:"why it is not served"`
	Sessions int    `json:"sessions" doc:"that came in through it"`
}

// Target is a SCSI target device and its logical units.
type Target struct {
	Name         string      `json:"name"`
	Alias        string      `json:"alias,omitempty"`
	PortalGroups []uint16    `json:"portal_groups"`
	Access       string      `json:"access" enum:"listed,open"`
	Initiators   []Initiator `json:"initiators" doc:"who may log in"`
	LUNs         []LUN       `json:"luns"`
}

// Initiator is who may log in to a target.
type Initiator struct {
	Name     string   `json:"name" doc:"iSCSI name; * stands for any"`
	Target   string   `json:"target"`
	Networks []string `json:"networks,omitempty" doc:"where it may come from; absent: anywhere"`
	LUNs     []uint16 `json:"luns,omitempty" doc:"what it sees; absent: all of the target"`
	User     string   `json:"user,omitempty" doc:"CHAP user; absent: no proof of identity is asked for"`
	Sessions int      `json:"sessions"`
}

// LUN is a logical unit.
type LUN struct {
	Version    string `json:"version" doc:"changes whenever size, state or failure do; the ETag"`
	Name       string `json:"name"`
	Target     string `json:"target"`
	LUN        uint16 `json:"lun"`
	UUID       string `json:"uuid"`
	NAA        string `json:"naa" doc:"what initiators know the disk by (VPD page 83h), hexadecimal"`
	Serial     string `json:"serial" doc:"unit serial number (VPD page 80h)"`
	Backstore  string `json:"backstore"`
	Bytes      int64  `json:"bytes"`
	Allocated  int64  `json:"allocated,omitempty" doc:"bytes that take up space, where the backstore knows"`
	BlockSize  int    `json:"block_size"`
	WriteCache bool   `json:"write_cache" doc:"WCE: writes are answered before they are durable"`
	Volatile   bool   `json:"volatile,omitempty" doc:"nothing survives the daemon"`
	ReadOnly   bool   `json:"read_only,omitempty"`
	Failure    string `json:"failure,omitempty" doc:"why writes are refused, or everything if it is absent"`
	Absent     bool   `json:"absent,omitempty" doc:"it could not be opened: initiators find it not ready"`

	Traffic     Traffic `json:"traffic"`
	Reservation Outline `json:"reservation" doc:"who holds it, in short"`

	// Reservations are a resource of their own; the outline is made of them.
	Reservations Reservations `json:"-"`
}

// Traffic is what a LUN did.
type Traffic struct {
	Reads      uint64 `json:"reads" doc:"commands since the start of the daemon"`
	Writes     uint64 `json:"writes"`
	Others     uint64 `json:"others"`
	ReadBytes  uint64 `json:"read_bytes"`
	WriteBytes uint64 `json:"write_bytes"`
	Errors     uint64 `json:"errors" doc:"commands that ended with CHECK CONDITION"`
	Conflicts  uint64 `json:"conflicts" doc:"commands that ended with RESERVATION CONFLICT"`
	Now        *Rate  `json:"now,omitempty" doc:"over the last seconds; absent until it is known"`
}

// Rate is traffic for each second.
type Rate struct {
	Reads        float64 `json:"reads"`
	Writes       float64 `json:"writes"`
	ReadBytes    float64 `json:"read_bytes"`
	WriteBytes   float64 `json:"write_bytes"`
	ReadLatency  float64 `json:"read_seconds" doc:"mean of the commands in this time, 0 if there were none"`
	WriteLatency float64 `json:"write_seconds"`
}

// Past is what a LUN did in the last minutes.
type Past struct {
	LUN    string   `json:"lun"`
	Points []Moment `json:"points" doc:"oldest first; a few seconds lie between two"`
}

// Moment is a Rate over the seconds before a moment.
type Moment struct {
	Time time.Time `json:"time"`
	Rate
}

// Reservations is who holds a logical unit, and who may.
type Reservations struct {
	Version    string `json:"version" doc:"changes whenever the reservation or a registration does; the ETag"`
	LUN        string `json:"lun"`
	Condition  string `json:"condition" enum:"normal,information-lost,not-ready"`
	Generation uint32 `json:"generation" doc:"PRGENERATION"`
	APTPL      bool   `json:"aptpl" doc:"registrations survive a power cycle of the host"`

	Type           string         `json:"type,omitempty" doc:"of the reservation; absent if there is none"`
	Holder         string         `json:"holder,omitempty" doc:"initiator port; absent also where every registrant holds"`
	HolderHost     string         `json:"holder_host,omitempty"`
	HolderLive     bool           `json:"holder_live,omitempty" doc:"the holder has a session now"`
	AllRegistrants bool           `json:"all_registrants,omitempty" doc:"every registrant holds the reservation"`
	Legacy         string         `json:"legacy,omitempty" doc:"initiator port that holds an SPC-2 reservation"`
	Made           Origin         `json:"made,omitzero" doc:"what made the reservation; absent if that is not known"`
	Registrations  []Registration `json:"registrations"`
	Others         []Bystander    `json:"others" doc:"sessions that are not registered"`
	LeftOut        LeftOut        `json:"left_out,omitzero" doc:"what did not fit into the rows that were asked for"`
	Findings       []Problem      `json:"findings" doc:"the diagnosis, gravest first"`
}

// LeftOut counts the rows that an answer does not show.
type LeftOut struct {
	Registrations int `json:"registrations,omitempty"`
	Others        int `json:"others,omitempty"`
}

// Origin says which command made something what it is.
type Origin struct {
	Since   time.Time `json:"since"`
	Command string    `json:"command"`
	By      string    `json:"by" doc:"the machine that sent it"`
	Entry   uint64    `json:"entry" doc:"its number in the history"`
}

// Registration is an initiator port registered through a target port.
type Registration struct {
	Initiator string `json:"initiator" doc:"initiator port name"`
	Host      string `json:"host" doc:"the part of the name that people know the machine by"`
	ISID      string `json:"isid"`
	Target    string `json:"target" doc:"target port name"`
	Group     uint16 `json:"group" doc:"target portal group tag: the path"`
	Key       string `json:"key" doc:"0x and 16 hexadecimal digits"`
	AllPorts  bool   `json:"all_target_ports,omitempty" doc:"made with ALL_TG_PT"`
	Holder    bool   `json:"holder,omitempty"`
	Access    Access `json:"access" enum:"write,read,none" doc:"what its commands may do now"`
	Live      bool   `json:"live" doc:"it has a session now"`
	Session   string `json:"session,omitempty" doc:"the session's id"`
	Address   string `json:"address,omitempty" doc:"the session's network address"`
	Conflicts uint64 `json:"conflicts,omitempty" doc:"its commands that were refused since it logged in"`
	Made      Origin `json:"made,omitzero" doc:"what made it; absent if that is not known"`
}

// Bystander is a session that is not registered.
type Bystander struct {
	Initiator string `json:"initiator"`
	Host      string `json:"host"`
	ISID      string `json:"isid"`
	Target    string `json:"target"`
	Session   string `json:"session"`
	Address   string `json:"address"`
	Access    Access `json:"access" enum:"write,read,none"`
	Conflicts uint64 `json:"conflicts,omitempty"`
}

// Access is what reservations leave a nexus.
type Access string

const (
	MayWrite Access = "write" // and read
	MayRead  Access = "read"
	MayNot   Access = "none"
)

// Session is a logged-in initiator.
type Session struct {
	ID          string    `json:"id"`
	Initiator   string    `json:"initiator" doc:"initiator port name"`
	Host        string    `json:"host" doc:"the part of the name that people know the machine by"`
	Alias       string    `json:"alias,omitempty" doc:"what the initiator calls itself"`
	ISID        string    `json:"isid"`
	TSIH        uint16    `json:"tsih"`
	Target      string    `json:"target" doc:"target port name; empty for a discovery session"`
	Address     string    `json:"address" doc:"of its first connection"`
	Portal      string    `json:"portal" doc:"the address it connected to"`
	Since       time.Time `json:"since"`
	User        string    `json:"user,omitempty" doc:"CHAP user it proved to be"`
	Connections int       `json:"connections"`
	Commands    int       `json:"commands" doc:"under way"`
	Oldest      *Command  `json:"oldest,omitempty" doc:"the command that is under way longest"`
	ReadBytes   uint64    `json:"read_bytes"`
	WriteBytes  uint64    `json:"write_bytes"`
	Conflicts   uint64    `json:"conflicts" doc:"its commands that ended with RESERVATION CONFLICT"`
	Errors      uint64    `json:"errors"`
}

// Command is a SCSI command under way.
type Command struct {
	Name    string  `json:"name"`
	LUN     uint16  `json:"lun"`
	Seconds float64 `json:"seconds" doc:"since it arrived"`
}

// SocketName is the name of the socket in a daemon's data directory.
const SocketName = "admin.sock"
