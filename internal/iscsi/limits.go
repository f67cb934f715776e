package iscsi

import "time"

// Options sets up a Server. Zero values mean the defaults given.
type Options struct {
	// Limits is what is offered in negotiation. Default: DefaultLimits.
	Limits Limits
	// QueueDepth is how many commands an initiator may have outstanding in
	// one session. Default 128.
	QueueDepth int
	// SessionBytes bounds the payload of commands under way in a session;
	// what is beyond waits its turn. Default 16 MiB.
	SessionBytes int

	// ProcessBytes does so for all sessions together; beyond it commands
	// are answered BUSY. Default 256 MiB.
	ProcessBytes int

	HeaderTimeout time.Duration // for the first bytes of a login. Default 5 s.
	LoginTimeout  time.Duration // for a login as a whole. Default 15 s.
	LoginRounds   int           // requests of one login. Default 16.

	MaxLogins            int // connections in login. Default 256.
	MaxLoginsPerSource   int // of one address, or one IPv6 /64. Default 16.
	LoginLine            int // connections that wait for their turn to log in. Default 1024.
	LoginLinePerSource   int // of one address, or one IPv6 /64. Default 256.
	LoginFailures        int // a source may have in a minute before it is turned away. Default 10.
	SessionsPerTarget    int // Default 4096.
	SessionsPerInitiator int // with all targets. Default 1024.

	PingInterval time.Duration // silence after which the initiator is asked for a sign of life. Default 5 s.
	PingTimeout  time.Duration // for its answer. Default 5 s.
	NoPings      bool          // an initiator may be silent for ever.
	WriteStall   time.Duration // an initiator that reads nothing for so long is cut. Default 30 s.
	DataOutStall time.Duration // one that does not send what it owes, likewise. Default 30 s.

	// Discovery decides about discovery sessions as Node.Authorize does
	// about normal ones. Default: nobody needs to prove anything; each node
	// still decides who sees it.
	Discovery func(InitiatorInfo) (*Auth, *LoginError)

	Events *Events
}

func (o Options) withDefaults() Options {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	setDefault(&o.QueueDepth, 128)
	setDefault(&o.SessionBytes, 16<<20)
	setDefault(&o.ProcessBytes, 256<<20)
	setDefault(&o.HeaderTimeout, 5*time.Second)
	setDefault(&o.LoginTimeout, 15*time.Second)
	setDefault(&o.LoginRounds, 16)
	setDefault(&o.MaxLogins, 256)
	setDefault(&o.MaxLoginsPerSource, 16)
	setDefault(&o.LoginLine, 1024)
	setDefault(&o.LoginLinePerSource, 256)
	setDefault(&o.LoginFailures, 10)
	setDefault(&o.SessionsPerTarget, 4096)
	setDefault(&o.SessionsPerInitiator, 1024)
	setDefault(&o.PingInterval, 5*time.Second)
	setDefault(&o.PingTimeout, 5*time.Second)
	setDefault(&o.WriteStall, 30*time.Second)
	setDefault(&o.DataOutStall, 30*time.Second)
	if o.Discovery == nil {
		o.Discovery = func(InitiatorInfo) (*Auth, *LoginError) { return nil, nil }
	}
	if o.Events == nil {
		o.Events = &Events{}
	}
	return o
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
