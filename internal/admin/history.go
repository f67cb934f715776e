package admin

import "time"

// HistoryQuery selects entries of the audit trail.
type HistoryQuery struct {
	LUN       string    // by name; "": all
	Initiator string    // name of a port, a node or a host; "": all
	Kind      string    // "pr", "login", "admin"; "": all
	Refused   bool      // only what was refused
	Since     time.Time // zero: from the beginning
	Before    uint64    // entries with a smaller number; 0: from the newest
	Limit     int       // 0: the default
}

// History is a part of the audit trail.
type History struct {
	Entries []HistoryEntry `json:"entries" doc:"newest first"`
	More    bool           `json:"more" doc:"there are older ones: ask again with before set to the last entry's number"`
}

// HistoryEntry is what somebody asked and what came of it.
type HistoryEntry struct {
	Entry     uint64    `json:"entry" doc:"its number; the next one has a larger"`
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind" enum:"pr,login,admin,lost"`
	LUN       string    `json:"lun,omitempty"`
	Action    string    `json:"action"`
	Initiator string    `json:"initiator,omitempty" doc:"initiator port that asked"`
	Host      string    `json:"host,omitempty"`
	Target    string    `json:"target,omitempty" doc:"target port it came through"`
	Address   string    `json:"address,omitempty" doc:"network address of the session"`
	Operator  string    `json:"operator,omitempty"`
	Granted   bool      `json:"granted"`
	Result    string    `json:"result" doc:"good, or how it was refused"`
	Reason    string    `json:"reason,omitempty" doc:"the branch that refused"`
	Text      string    `json:"text" doc:"all of it in one sentence"`
	Changes   *Changes  `json:"changes,omitempty" doc:"of a reservation command"`
}

// Changes is what a reservation command asked and what it changed.
type Changes struct {
	Key        string    `json:"key"`
	ServiceKey string    `json:"service_key"`
	Type       string    `json:"type,omitempty" doc:"asked for"`
	Before     Outline   `json:"before"`
	After      Outline   `json:"after"`
	Added      []PortKey `json:"added,omitempty"`
	Removed    []PortKey `json:"removed,omitempty"`
	Changed    []PortKey `json:"changed,omitempty" doc:"with the new key"`
	Drain      float64   `json:"drain_seconds" doc:"waited for the I/O of those who lost a right"`
	Total      float64   `json:"total_seconds"`
}

// Outline is a reservation state without its list of registrations.
type Outline struct {
	Condition     string `json:"condition" enum:"normal,information-lost,not-ready"`
	Generation    uint32 `json:"generation"`
	APTPL         bool   `json:"aptpl,omitempty"`
	Registrations int    `json:"registrations"`
	Type          string `json:"type,omitempty"`
	Holder        string `json:"holder,omitempty"`
	HolderHost    string `json:"holder_host,omitempty"`
}

// PortKey is a registration by name.
type PortKey struct {
	Initiator string `json:"initiator"`
	Host      string `json:"host"`
	Target    string `json:"target"`
	Key       string `json:"key"`
}
