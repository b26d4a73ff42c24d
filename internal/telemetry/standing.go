package telemetry

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Standing is how the whole mirror stands, as the database tells it: every
// worker of it shows the same.
type Standing struct {
	// State is that of the suspension of everything, one of states.
	State string
	Links []LinkStanding
	// Background are the loops of all links and of each.
	Background []Loop
}

// states are those that a suspension may have.
var states = []string{"running", "suspending", "suspended", "unconfirmed"}

// LinkStanding is how one link stands.
type LinkStanding struct {
	Link string
	// State is that of the link's own suspension, one of states.
	State     string
	Mailboxes map[string]int // by state
	// Lag is the age of the oldest change that was seen and is not mirrored. LagKnown
	// is false where changes may have gone unnoticed.
	Lag      time.Duration
	LagKnown bool
	// Shards are those of the link's listeners. A link always has one.
	Shards []Listener
	// Held are the deletions that the guard holds: messages, by what was
	// decided.
	Held map[string]int64
}

// Listener is how the listening of one shard of a link does.
type Listener struct {
	Shard               int
	Connections, Wanted int
	Heard, InTurn       int // mailboxes
	Healthy             bool
	LastEvent           time.Time
}

// Loop says whether one kind of background work does well.
type Loop struct {
	// Loop is of a fixed set, Link "" where the loop serves all links.
	Loop, Link string
	Healthy    bool
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

	mu    sync.Mutex
	at    time.Time
	last  Standing
	known bool
	err   error

	up, state, mailboxes, lag, held, background       *prometheus.Desc
	connections, wanted, listened, healthy, lastEvent *prometheus.Desc // by link and shard
}

// ShowStanding registers what read tells. It is called when the metrics are
// scraped, no more often than every five seconds.
func ShowStanding(r prometheus.Registerer, read func(context.Context) (Standing, error)) error {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return r.Register(&standing{
		read:        read,
		up:          desc("database_up", "1 where the database answered; what is read from it is NaN otherwise."),
		state:       desc("suspension", "1 for the state of the suspension, 0 for the others: of everything if link is empty, of that link by itself otherwise.", "state", "link"),
		mailboxes:   desc("mailboxes", "Mailboxes that take part, by state.", "link", "state"),
		lag:         desc("lag_seconds", "Age of the oldest change that was seen and is not mirrored yet; NaN where nobody listens, so that it is not known.", "link"),
		background:  desc("background_healthy", "1 for work in the background that does well, 0 where it fails or has ended.", "loop", "link"),
		connections: desc("listener_connections", "Listening connections that are open; 0 where the listeners are silent.", "link", "shard"),
		wanted:      desc("listener_connections_wanted", "Listening connections that should be open.", "link", "shard"),
		listened:    desc("listener_mailboxes", "Mailboxes whose changes a connection announces, or that are read in turn.", "link", "shard", "way"),
		healthy:     desc("listener_healthy", "1 where all connections are open and nothing is wrong.", "link", "shard"),
		lastEvent:   desc("listener_last_event_timestamp_seconds", "When the last change was noticed, in seconds since 1970; 0 where none was yet.", "link", "shard"),
		held:        desc("held_messages", "Messages whose deletion the guard holds, by the operator's decision.", "link", "decision"),
	})
}

// Describe implements prometheus.Collector.
func (s *standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.up, s.state, s.mailboxes, s.lag, s.held, s.background,
		s.connections, s.wanted, s.listened, s.healthy, s.lastEvent} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *standing) Collect(to chan<- prometheus.Metric) {
	now, known, err := s.ask()
	to <- prometheus.MustNewConstMetric(s.up, prometheus.GaugeValue, number(err == nil))
	if !known {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		// What was known before is not known any more, and does not vanish either.
		if err != nil {
			value = math.NaN()
		}
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, state := range states {
		gauge(s.state, number(state == now.State), state, "")
		for _, l := range now.Links {
			gauge(s.state, number(state == l.State), state, l.Link)
		}
	}
	for _, b := range now.Background {
		gauge(s.background, number(b.Healthy), b.Loop, b.Link)
	}
	for _, l := range now.Links {
		for state, n := range l.Mailboxes {
			gauge(s.mailboxes, float64(n), l.Link, state)
		}
		lag := l.Lag.Seconds()
		if !l.LagKnown {
			lag = math.NaN()
		}
		gauge(s.lag, lag, l.Link)
		for _, shard := range l.Shards {
			name := strconv.Itoa(shard.Shard)
			gauge(s.connections, float64(shard.Connections), l.Link, name)
			gauge(s.wanted, float64(shard.Wanted), l.Link, name)
			gauge(s.listened, float64(shard.Heard), l.Link, name, "heard")
			gauge(s.listened, float64(shard.InTurn), l.Link, name, "in turn")
			gauge(s.healthy, number(shard.Healthy), l.Link, name)
			last := 0.0
			if !shard.LastEvent.IsZero() {
				last = float64(shard.LastEvent.UnixMilli()) / 1000
			}
			gauge(s.lastEvent, last, l.Link, name)
		}
		for decision, n := range l.Held {
			gauge(s.held, float64(n), l.Link, decision)
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// ask returns what the database tells or, with the error, what it last told; known is
// false where it never told anything.
func (s *standing) ask() (last Standing, known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < standingEvery {
		return s.last, s.known, s.err
	}
	// A collector is handed no context.
	ctx, cancel := context.WithTimeout(context.Background(), standingLimit)
	defer cancel()
	now, err := s.read(ctx)
	if err == nil {
		s.last, s.known = now, true
	}
	s.at, s.err = time.Now(), err
	return s.last, s.known, s.err
}
