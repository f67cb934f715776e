package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"nas-target/internal/plain"
	"nas-target/internal/scsi"
)

// collector turns a Snapshot into metrics, and tells the counters of the LUNs
// that the snapshot has.
type collector struct {
	metrics  *Metrics
	snapshot func() Snapshot
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nas_target_"+name, help, labels, nil)
}

var (
	startTime  = desc("start_time_seconds", "Start of the daemon since the epoch.")
	ready      = desc("ready", "1 if every configured LUN and portal is served.")
	portalUp   = desc("portal_up", "1 if the portal takes connections.", "portal", "group")
	sessions   = desc("sessions", "Sessions that are logged in.", "target")
	underWay   = desc("session_commands", "Commands under way.", "target")
	oldest     = desc("session_oldest_command_seconds", "Age of the command that is under way longest.", "target")
	lunInfo    = desc("lun_info", "What a LUN is.", "lun", "target", "number", "uuid", "naa", "backstore")
	lunSize    = desc("lun_size_bytes", "Size of a LUN.", "lun")
	lunUsed    = desc("lun_allocated_bytes", "Space that a LUN takes up, where the backstore knows.", "lun")
	lunFailed  = desc("lun_failed", "1 if a LUN refuses writes since a flush failed.", "lun")
	writeCache = desc("lun_write_cache_enabled", "1 if writes are answered before they are durable (WCE).", "lun")
	commands   = desc("lun_commands_total", "Commands that ended with GOOD.", "lun", "class")
	readBytes  = desc("lun_read_bytes_total", "Bytes read by initiators.", "lun")
	writeBytes = desc("lun_written_bytes_total", "Bytes written by initiators.", "lun")
	lunErrors  = desc("lun_errors_total", "Commands that ended with neither GOOD nor RESERVATION CONFLICT.", "lun")
	lunRefused = desc("lun_conflicts_total", "Commands that ended with RESERVATION CONFLICT.", "lun")
	duration   = desc("lun_command_duration_seconds", "From the arrival of a command to the last byte of its answer.", "lun", "class")

	registrations = desc("pr_registrations", "Registered I_T nexuses.", "lun")
	liveRegs      = desc("pr_live_registrations", "Registered I_T nexuses that have a session.", "lun")
	generation    = desc("pr_generation", "PRGENERATION.", "lun")
	known         = desc("pr_information_known", "0 if the reservation information is lost or cannot be read: the LUN refuses commands.", "lun")
	reserved      = desc("pr_reserved", "1 if a persistent reservation is in force.", "lun")
	holderInfo    = desc("pr_holder_info", "Who holds the reservation; the initiator is empty where every registrant does.", "lun", "initiator", "type")
	holderLive    = desc("pr_holder_live", "1 if the holder of the reservation has a session.", "lun")
	findings      = desc("pr_findings", "What the diagnosis of the reservations found.", "lun", "code", "severity")

	auditWritten = desc("audit_entries_total", "Entries of the audit trail.")
	auditLost    = desc("audit_lost_total", "Entries of the audit trail that were lost, because they came too fast or could not be written.")
	auditFailing = desc("audit_failing", "1 if the audit trail cannot be written now.")
	logDropped   = desc("log_lines_dropped_total", "Log lines that were left out because they said the same again and again.")
)

// Describe is empty on purpose: what there is depends on the configuration, so
// the registry checks each scrape instead.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.snapshot()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(startTime, float64(s.Started.UnixNano())/1e9)
	gauge(ready, truth(s.Ready))
	for _, p := range s.Portals {
		gauge(portalUp, truth(p.Up), p.Address, strconv.Itoa(int(p.Group)))
	}
	for _, t := range s.Targets {
		gauge(sessions, float64(t.Sessions), t.Name)
		gauge(underWay, float64(t.Commands), t.Name)
		gauge(oldest, t.Oldest.Seconds(), t.Name)
	}
	counter(auditWritten, s.Audit.Written)
	counter(logDropped, s.LogLinesDropped)
	counter(auditLost, s.Audit.Lost+s.Audit.Failed)
	gauge(auditFailing, truth(s.Audit.Failing))
	for i := range s.LUNs {
		l := &s.LUNs[i]
		c.metrics.zeroLUN(l.Name)
		gauge(lunInfo, 1, l.Name, l.Target, strconv.Itoa(int(l.Number)), l.UUID, l.NAA, l.Backstore)
		gauge(lunSize, float64(l.Bytes), l.Name)
		if l.Allocated > 0 {
			gauge(lunUsed, float64(l.Allocated), l.Name)
		}
		gauge(lunFailed, truth(l.Failed), l.Name)
		gauge(writeCache, truth(l.WriteCache), l.Name)
		counter(readBytes, l.Total.ReadBytes, l.Name)
		counter(writeBytes, l.Total.WriteBytes, l.Name)
		counter(lunErrors, l.Total.Errors, l.Name)
		counter(lunRefused, l.Total.Conflicts, l.Name)
		for _, class := range scsi.OpClasses() {
			counter(commands, l.Total.Commands[class], l.Name, class.String())
			out <- histogram(&l.Total.Latency[class], l.Name, class.String())
		}

		gauge(registrations, float64(l.Registrations), l.Name)
		gauge(liveRegs, float64(l.Live), l.Name)
		gauge(generation, float64(l.Generation), l.Name)
		gauge(known, truth(l.Known), l.Name)
		gauge(reserved, truth(l.Type != ""), l.Name)
		if l.Type != "" {
			gauge(holderInfo, 1, l.Name, plain.Text(l.Holder), l.Type)
			gauge(holderLive, truth(l.HolderLive), l.Name)
		}
		for _, f := range l.Findings {
			gauge(findings, float64(f.Count), l.Name, f.Code, f.Severity)
		}
	}
	for _, v := range []prometheus.Collector{c.metrics.prCommands, c.metrics.persistErrors, c.metrics.drains} {
		v.Collect(out)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func histogram(l *scsi.Latency, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(l.Counts)-1)
	var sum uint64
	for i, n := range l.Counts {
		sum += n
		if i < len(l.Counts)-1 {
			buckets[scsi.LatencyBound(i).Seconds()] = sum
		}
	}
	return prometheus.MustNewConstHistogram(duration, sum, float64(l.Nanoseconds)/1e9, buckets, labels...)
}
