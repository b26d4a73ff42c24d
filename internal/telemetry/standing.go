package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Standing is how the whole mirror stands, as the database tells it: every
// worker of it shows the same.
type Standing struct {
	// State is the mirror's of States.
	State string
	Links []LinkStanding
}

// States are those that a mirror may have.
var states = []string{"running", "suspending", "suspended"}

// LinkStanding is how one link stands.
type LinkStanding struct {
	Link      string
	Mailboxes map[string]int // by state
	// Lag is the age of the oldest change that was seen and is not mirrored.
	Lag time.Duration
	// Held are the deletions that the guard holds: messages, by what was
	// decided.
	Held map[string]int64
}

// How often the database is asked at most, and how long it has to answer: a
// scrape gives up after ten seconds.
const (
	standingEvery = 5 * time.Second
	standingLimit = 5 * time.Second
)

// standing asks when it is scraped.
type standing struct {
	read func(context.Context) (Standing, error)

	mu   sync.Mutex
	at   time.Time
	last Standing
	err  error

	up, state, mailboxes, lag, held *prometheus.Desc
}

// ShowStanding registers what read tells. It is called when the metrics are
// scraped, no more often than every five seconds.
func ShowStanding(r prometheus.Registerer, read func(context.Context) (Standing, error)) error {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return r.Register(&standing{
		read:      read,
		up:        desc("database_up", "1 where the database answered; what is read from it is missing otherwise."),
		state:     desc("suspension", "1 for the state of the mirror as a whole, 0 for the others.", "state"),
		mailboxes: desc("mailboxes", "Mailboxes that take part, by state.", "link", "state"),
		lag:       desc("lag_seconds", "Age of the oldest change that was seen and is not mirrored yet.", "link"),
		held:      desc("held_messages", "Messages whose deletion the guard holds, by the operator's decision.", "link", "decision"),
	})
}

// Describe implements prometheus.Collector.
func (s *standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.up, s.state, s.mailboxes, s.lag, s.held} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *standing) Collect(to chan<- prometheus.Metric) {
	now, err := s.ask()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if err != nil {
		gauge(s.up, 0)
		return
	}
	gauge(s.up, 1)
	for _, state := range states {
		value := 0.0
		if state == now.State {
			value = 1
		}
		gauge(s.state, value, state)
	}
	for _, l := range now.Links {
		for state, n := range l.Mailboxes {
			gauge(s.mailboxes, float64(n), l.Link, state)
		}
		gauge(s.lag, l.Lag.Seconds(), l.Link)
		for decision, n := range l.Held {
			gauge(s.held, float64(n), l.Link, decision)
		}
	}
}

func (s *standing) ask() (Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < standingEvery {
		return s.last, s.err
	}
	// A collector is handed no context.
	ctx, cancel := context.WithTimeout(context.Background(), standingLimit)
	defer cancel()
	s.last, s.err = s.read(ctx)
	s.at = time.Now()
	return s.last, s.err
}
