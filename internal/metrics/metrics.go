package metrics

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nas-target/internal/iscsi"
	"nas-target/internal/plain"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// Metrics counts what happens, and answers scrapes. Its methods never block
// and may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry

	prCommands    *prometheus.CounterVec
	persistErrors *prometheus.CounterVec
	drains        *prometheus.HistogramVec
	conflicts     *prometheus.CounterVec
	aborted       *prometheus.CounterVec
	loginFailures *prometheus.CounterVec
	sessionsEnded *prometheus.CounterVec
	rejected      *prometheus.CounterVec
	digestErrors  *prometheus.CounterVec

	initiators bounded
}

// New makes the metrics of one daemon; snapshot is called for every scrape.
func New(version string, snapshot func() Snapshot) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nas_target_" + name, Help: help}, labels)
	}
	m := &Metrics{
		registry:      prometheus.NewRegistry(),
		prCommands:    counter("pr_commands_total", "Reservation commands and events, granted or refused.", "lun", "action", "result"),
		persistErrors: counter("pr_persist_errors_total", "Reservation commands that could not be saved, and so were not done.", "lun"),
		drains: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nas_target_pr_drain_seconds", Help: "What a reservation command that takes rights away waited for the losers' I/O.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"lun"}),
		conflicts:     counter("pr_conflicts_total", "Commands of an initiator that ended with RESERVATION CONFLICT.", "lun", "initiator"),
		aborted:       counter("aborted_commands_total", "Commands that were aborted, and why.", "lun", "reason"),
		loginFailures: counter("login_failures_total", "Logins that failed, and why.", "reason"),
		sessionsEnded: counter("sessions_ended_total", "Sessions that ended, and why.", "reason"),
		rejected:      counter("rejected_pdus_total", "PDUs answered with a Reject, and why.", "reason"),
		digestErrors:  counter("digest_errors_total", "PDUs that the network damaged.", "digest"),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "nas_target_build_info", Help: "The version of the daemon.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.zero()
	m.registry.MustRegister(info, &collector{m, snapshot}, m.conflicts, m.aborted,
		m.loginFailures, m.sessionsEnded, m.rejected, m.digestErrors,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// zero begins the counters of the daemon. Prometheus sees no increase in a counter
// that appears with its first event: the alert on the first preemption would
// never be raised. So what people look for stands at zero from the beginning.
func (m *Metrics) zero() {
	for _, r := range iscsi.Reasons {
		if strings.HasPrefix(string(r), "login_") || strings.HasPrefix(string(r), "chap_") {
			m.loginFailures.WithLabelValues(string(r))
		}
	}
	for _, r := range []iscsi.Reason{
		iscsi.ReasonLogout, iscsi.ReasonPeerClosed, iscsi.ReasonPingTimeout, iscsi.ReasonSessionTimeout, iscsi.ReasonReinstated, iscsi.ReasonKilled,
	} {
		m.sessionsEnded.WithLabelValues(string(r))
	}
	for _, r := range []iscsi.Reason{iscsi.ReasonHeaderDigest, iscsi.ReasonDataDigest} {
		m.digestErrors.WithLabelValues(string(r))
	}
}

// zeroLUN does so for those of a LUN.
func (m *Metrics) zeroLUN(lun string) {
	for a := pr.Register; a <= pr.ReplaceLostReservation; a++ {
		m.prCommands.WithLabelValues(lun, a.String(), pr.Good.String())
	}
	m.persistErrors.WithLabelValues(lun)
	m.drains.WithLabelValues(lun)
}

// Handler answers scrapes, a few at a time.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// PR counts what a reservation manager told.
func (m *Metrics) PR(lun string, r pr.Record) {
	action := r.Op.Action.String()
	if r.Op.Action > pr.ReplaceLostReservation && r.Op.Action < pr.LegacyReserve {
		action = other // a service action that does not exist: an initiator chose the number
	}
	m.prCommands.WithLabelValues(lun, action, r.Verdict.Status.String()).Inc()
	if r.Err != nil {
		m.persistErrors.WithLabelValues(lun).Inc()
	}
	if r.Drained != r.Started {
		m.drains.WithLabelValues(lun).Observe(time.Duration(r.Drained - r.Started).Seconds())
	}
}

// Conflict counts a command of an initiator that met a reservation.
func (m *Metrics) Conflict(lun string, n scsi.Nexus) {
	m.conflicts.WithLabelValues(lun, m.initiators.name(pr.Node(n.Initiator))).Inc()
}

// Aborted counts commands that were aborted.
func (m *Metrics) Aborted(lun string, count int, why scsi.Reason) {
	m.aborted.WithLabelValues(lun, string(why)).Add(float64(count))
}

// LoginFailed counts a login that failed.
func (m *Metrics) LoginFailed(why iscsi.Reason) { m.loginFailures.WithLabelValues(string(why)).Inc() }

// SessionEnded counts the end of a session.
func (m *Metrics) SessionEnded(why iscsi.Reason) { m.sessionsEnded.WithLabelValues(string(why)).Inc() }

// Rejected counts a PDU answered with a Reject.
func (m *Metrics) Rejected(why iscsi.Reason) { m.rejected.WithLabelValues(string(why)).Inc() }

// DigestError counts a damaged PDU.
func (m *Metrics) DigestError(which iscsi.Reason) {
	m.digestErrors.WithLabelValues(string(which)).Inc()
}

const (
	// maxInitiators bounds the label: a stranger may come with ever new names.
	maxInitiators = 256
	other         = "other"
)

// bounded lets the first maxInitiators names through as themselves.
type bounded struct {
	mu   sync.Mutex
	seen map[string]string
}

func (b *bounded) name(raw string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if shown, ok := b.seen[raw]; ok {
		return shown
	}
	if len(b.seen) >= maxInitiators {
		return other
	}
	if b.seen == nil {
		b.seen = map[string]string{}
	}
	b.seen[raw] = plain.Text(raw)
	return b.seen[raw]
}
