package sim

import (
	"context"
	"net"

	"nas-target/internal/iscsi"
	"nas-target/internal/scsi"
)

// maxConnections is what the server of a bed offers.
const maxConnections = 4

// wire is the iSCSI server of a bed: one portal group per target port, on
// loopback.
type wire struct {
	server *iscsi.Server
	remote *Remote
}

func newWire(b *Bed) *wire {
	limits := iscsi.DefaultLimits()
	limits.MaxConnections = maxConnections
	w := &wire{remote: &Remote{Target: TargetName, Connections: b.conf.Connections, Mark: b.Mark}}
	node := &iscsi.Node{
		Name:      TargetName,
		Authorize: func(iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) { return nil, nil },
		Attach: func(n scsi.Nexus, _ iscsi.InitiatorInfo) (iscsi.Target, error) {
			return b.Device.Attach(n, scsi.LUNMap{0: b.Unit}), nil
		},
	}
	o := iscsi.Options{Limits: limits}
	if b.conf.Server != nil {
		b.conf.Server(&o, node)
	}
	w.server = iscsi.NewServer(o)
	for i := range b.conf.Ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			err = w.server.AddPortal(iscsi.Portal{TPGT: uint16(i + 1), Listener: l})
		}
		if err != nil {
			panic(err)
		}
		w.remote.Addrs = append(w.remote.Addrs, l.Addr().String())
		node.Groups = append(node.Groups, uint16(i+1))
	}
	w.server.SetNodes([]*iscsi.Node{node})
	w.server.Serve()
	return w
}

// close ends all without a word.
func (w *wire) close() {
	w.remote.Close()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.server.Shutdown(now)
}
