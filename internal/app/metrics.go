package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"

	"mailmirror/activities"
	"mailmirror/internal/background"
	"mailmirror/internal/config"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/telemetry"
	"mailmirror/internal/temporalrunner"
)

// metrics is what a worker shows of itself over HTTP. A nil one shows nothing.
type metrics struct {
	registry *prometheus.Registry
	counts   *telemetry.Metrics
	sdkMeter metric.Meter
	server   *telemetry.Server
}

// newMetrics listens where the settings say, nowhere by default.
func newMetrics(ctx context.Context, cfg config.Metrics, log *slog.Logger) (*metrics, error) {
	if cfg.Listen == "" {
		return nil, nil //nolint:nilnil // nothing to be shown
	}
	m := &metrics{registry: telemetry.NewRegistry()}
	var err error
	if m.counts, err = telemetry.NewMetrics(m.registry); err != nil {
		return nil, err
	}
	if m.sdkMeter, err = telemetry.Meter(m.registry, "temporal-sdk-go"); err != nil {
		return nil, err
	}
	m.server, err = telemetry.Serve(ctx, cfg.Listen, m.registry, log)
	if err != nil {
		hint := "choose another address by metrics.listen, or leave it empty"
		if errors.Is(err, syscall.EADDRINUSE) {
			hint = "stop what holds the port, or choose another by metrics.listen"
		}
		return nil, fault.New(fault.Config, "show metrics", err, hint)
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && !isLoopback(host) {
		log.WarnContext(ctx, "metrics are shown to other machines, without encryption or log-in", "address", cfg.Listen)
	}
	return m, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// show adds what the database tells.
func (m *metrics) show(repo *pgstore.Store) error {
	if m == nil {
		return nil
	}
	return telemetry.ShowStanding(m.registry, func(ctx context.Context) (telemetry.Standing, error) { return standing(ctx, repo) })
}

func standing(ctx context.Context, repo *pgstore.Store) (telemetry.Standing, error) {
	suspensions, err := repo.Suspensions(ctx)
	if err != nil {
		return telemetry.Standing{}, err
	}
	links, err := repo.Status(ctx, "")
	if err != nil {
		return telemetry.Standing{}, err
	}
	held, err := repo.HeldTotals(ctx)
	if err != nil {
		return telemetry.Standing{}, err
	}
	watchers, err := repo.Watchers(ctx, "")
	if err != nil {
		return telemetry.Standing{}, err
	}
	work, err := repo.Background(ctx)
	if err != nil {
		return telemetry.Standing{}, err
	}
	now := telemetry.Standing{State: stateOf(suspensions.Own(""))}
	blind := map[string]bool{}
	for _, l := range links {
		of := slices.DeleteFunc(slices.Clone(watchers), func(w site.Watcher) bool { return w.Link != l.Link.Name })
		listening := background.ListeningOf(work.Now, l, of)
		blind[l.Link.Name] = listening.Unhealthy()
		s := telemetry.LinkStanding{Link: l.Link.Name, State: stateOf(suspensions.Own(l.Link.Name)), Lag: l.Lag, LagKnown: !listening.Blind || l.Lag > 0, Shards: listeners(work.Now, of), Held: map[string]int64{}, Mailboxes: map[string]int{
			"new": l.States.New, "equal": l.States.Equal, "differing": l.States.Differing,
			"dirty": l.States.Dirty, "held": l.States.Held, "parked": l.States.Parked,
		}}
		for _, decision := range []guard.HoldState{guard.HoldWaiting, guard.HoldApproved, guard.HoldRefused} {
			s.Held[string(decision)] = held[l.Link.Name][decision]
		}
		now.Links = append(now.Links, s)
	}
	now.Background = loops(work.Judge(suspensions), blind)
	return now, nil
}

func stateOf(s suspension.Suspension) string {
	if s.Unconfirmed {
		return "unconfirmed"
	}
	return string(s.State)
}

// listeners are how the shards of a link do, at least one: what is shown of a link
// must not vanish while there is the link. One that is silent has no connection.
func listeners(now time.Time, watchers []site.Watcher) []telemetry.Listener {
	shards := []telemetry.Listener{{}}
	for i, w := range watchers {
		l := telemetry.Listener{Shard: w.Shard, Wanted: w.Wanted, LastEvent: w.LastEvent}
		if now.Sub(w.UpdatedAt) <= site.WatcherSilence {
			l.Connections, l.Heard, l.InTurn = w.Connections, w.Listened, w.Polled
			l.Healthy = w.Trouble == "" && w.Connections == w.Wanted
		}
		if i == 0 {
			shards = nil
		}
		shards = append(shards, l)
	}
	return shards
}

// loops tells of each kind of background work whether it does well.
func loops(findings []background.Finding, blind map[string]bool) []telemetry.Loop {
	healthy := map[telemetry.Loop]bool{}
	for _, loop := range []background.Loop{background.LoopSupervision, background.LoopSweep, background.LoopRetention, background.LoopControl,
		background.LoopSuspension, background.LoopSchedule} {
		healthy[telemetry.Loop{Loop: string(loop)}] = true
	}
	for link, is := range blind {
		healthy[telemetry.Loop{Loop: string(background.LoopListening), Link: link}] = !is
		healthy[telemetry.Loop{Loop: string(background.LoopSchedule), Link: link}] = true
	}
	for _, f := range findings {
		healthy[telemetry.Loop{Loop: string(f.Loop), Link: f.Link}] = false
	}
	list := make([]telemetry.Loop, 0, len(healthy))
	for l, is := range healthy {
		l.Healthy = is
		list = append(list, l)
	}
	return list
}

func (m *metrics) sdk() metric.Meter {
	if m == nil {
		return nil
	}
	return m.sdkMeter
}

func (m *metrics) meter() activities.Meter {
	if m == nil {
		return nil
	}
	return meter{m.counts}
}

func (m *metrics) failed() temporalrunner.Failed {
	if m == nil {
		return nil
	}
	return m.counts.ActivityFailed
}

func (m *metrics) close() {
	if m != nil {
		m.server.Close()
	}
}

// meter puts what activities count into the metrics' words.
type meter struct{ counts *telemetry.Metrics }

// Event implements activities.Meter.
func (m meter) Event(link string, kind site.EventKind, unannounced bool) {
	m.counts.Event(link, string(kind))
	if unannounced {
		m.counts.Unannounced(link)
	}
}

// Synced implements activities.Meter.
func (m meter) Synced(link, outcome, kind string, took time.Duration) {
	if outcome == activities.OutcomeBusy {
		m.counts.LeaseWait(link)
		return
	}
	m.counts.Synced(link, outcome, took)
	if kind != "" {
		m.counts.SyncFailed(link, kind)
	}
}

// Copied implements activities.Meter.
func (m meter) Copied(link string, role mailbox.Role, w copier.Work) {
	m.counts.Copied(link, string(role), w.Appended, w.Bytes, w.FlagsChanged, w.Expunged)
}
