package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what one worker process does. Labels are names that an
// operator gave (links), or of a fixed set; never mailboxes.
type Metrics struct {
	events      *prometheus.CounterVec
	unannounced *prometheus.CounterVec
	syncs       *prometheus.CounterVec
	syncTime    *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	leaseWaits  *prometheus.CounterVec
	messages    *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	activities  *prometheus.CounterVec
}

const namespace = "mailmirror"

// NewMetrics registers the metrics of a worker.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	set := registrar{r: r}
	m := &Metrics{
		events: set.counter("events_total", "Changes that production announced, or that reading it showed, by kind.", "link", "kind"),
		unannounced: set.counter("unannounced_changes_total",
			"Changes found by reading although a connection should have told of them.", "link"),
		syncs:    set.counter("syncs_total", "Syncs of mailboxes that ended, by outcome.", "link", "outcome"),
		failures: set.counter("sync_failures_total", "Syncs of mailboxes that failed, by the kind of error.", "link", "kind"),
		leaseWaits: set.counter("lease_waits_total",
			"Syncs that were put off because another one held the mailbox.", "link"),
		messages: set.counter("messages_total", "Messages of targets that were changed: copied, flagged or expunged.", "link", "role", "change"),
		bytes:    set.counter("copied_bytes_total", "Bytes of the messages that were copied.", "link", "role"),
		activities: set.counter("activity_failures_total",
			"Attempts at activities that failed, by the kind of error. What is put off or handed on is none.", "activity", "kind"),
	}
	m.syncTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "sync_seconds", Help: "How long syncs of mailboxes took.", Buckets: seconds,
	}, []string{"link"})
	set.register(m.syncTime)
	return m, set.err
}

// seconds are the buckets of everything that takes time here: from the look at
// a mailbox that did not change to the first copy of a large one.
var seconds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800}

// registrar registers metrics and keeps the first error.
type registrar struct {
	r   prometheus.Registerer
	err error
}

func (s *registrar) register(c prometheus.Collector) {
	if err := s.r.Register(c); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *registrar) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	s.register(c)
	return c
}

// Event counts a change that was heard of.
func (m *Metrics) Event(link, kind string) { m.events.WithLabelValues(link, kind).Inc() }

// Unannounced counts a change that was found by reading alone.
func (m *Metrics) Unannounced(link string) { m.unannounced.WithLabelValues(link).Inc() }

// Synced counts a sync that ended, and how long it took.
func (m *Metrics) Synced(link, outcome string, took time.Duration) {
	m.syncs.WithLabelValues(link, outcome).Inc()
	m.syncTime.WithLabelValues(link).Observe(took.Seconds())
}

// SyncFailed counts the kind of a failure, beside Synced.
func (m *Metrics) SyncFailed(link, kind string) { m.failures.WithLabelValues(link, kind).Inc() }

// LeaseWait counts a sync that found its mailbox held by another.
func (m *Metrics) LeaseWait(link string) { m.leaseWaits.WithLabelValues(link).Inc() }

// Copied counts what a sync did to the messages of one role.
func (m *Metrics) Copied(link, role string, copied int, bytes int64, flagged, expunged int) {
	m.messages.WithLabelValues(link, role, "copied").Add(float64(copied))
	m.messages.WithLabelValues(link, role, "flagged").Add(float64(flagged))
	m.messages.WithLabelValues(link, role, "expunged").Add(float64(expunged))
	m.bytes.WithLabelValues(link, role).Add(float64(bytes))
}

// ActivityFailed counts a failed attempt at an activity.
func (m *Metrics) ActivityFailed(activity, kind string) {
	m.activities.WithLabelValues(activity, kind).Inc()
}
