package daemon

import (
	"fmt"
	"io"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/scsi"
)

// dumps are what /debug on the admin socket shows beside the profiles.
func (d *Daemon) dumps() map[string]func(io.Writer) {
	return map[string]func(io.Writer){"tasks": d.dumpTasks, "windows": d.dumpWindows}
}

// dumpTasks lists the connections that have commands under way.
func (d *Daemon) dumpTasks(w io.Writer) {
	for _, s := range d.server.Sessions() {
		for i := range s.Conns {
			c := &s.Conns[i]
			if c.Tasks == 0 {
				continue
			}
			fmt.Fprintf(w, "session %d connection %d %s from %s: %d commands, oldest %v %s LUN %v CDB % x, %d bytes unsent\n",
				s.ID, c.CID, plain.Text(s.Initiator), c.Remote, c.Tasks, c.OldestTask.Round(time.Millisecond),
				scsi.CommandName(c.OldestCDB), c.OldestLUN, c.OldestCDB, c.Unsent)
		}
	}
}

// dumpWindows lists the command windows and what the connections did.
func (d *Daemon) dumpWindows(w io.Writer) {
	for _, s := range d.server.Sessions() {
		fmt.Fprintf(w, "session %d %s ISID %s TSIH %d %s: ExpCmdSN %d MaxCmdSN %d, %+v\n",
			s.ID, plain.Text(s.Initiator), s.ISID, s.TSIH, plain.Text(s.Target), s.ExpCmdSN, s.MaxCmdSN, s.Params)
		for i := range s.Conns {
			c := &s.Conns[i]
			fmt.Fprintf(w, "  connection %d from %s to %s: digests header=%t data=%t, idle %v, %+v\n",
				c.CID, c.Remote, c.Portal, c.HeaderDigest, c.DataDigest, c.Idle.Round(time.Millisecond), c.Stats)
		}
	}
}
