package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"

	"mailmirror/activities"
	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/telemetry"
	"mailmirror/internal/temporalrunner"
	"mailmirror/internal/watch"
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
	suspension, err := repo.Suspension(ctx)
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
	now := telemetry.Standing{State: string(suspension.State)}
	for _, l := range links {
		s := telemetry.LinkStanding{Link: l.Link.Name, Lag: l.Lag, Held: map[string]int64{}, Mailboxes: map[string]int{
			"new": l.States.New, "equal": l.States.Equal, "differing": l.States.Differing,
			"dirty": l.States.Dirty, "held": l.States.Held, "parked": l.States.Parked,
		}}
		for _, decision := range []control.HoldState{control.HoldWaiting, control.HoldApproved, control.HoldRefused} {
			s.Held[string(decision)] = held[l.Link.Name][decision]
		}
		now.Links = append(now.Links, s)
	}
	return now, nil
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
func (m meter) Event(link string, kind watch.Kind, unannounced bool) {
	m.counts.Event(link, string(kind))
	if unannounced {
		m.counts.Unannounced(link)
	}
}

// Listens implements activities.Meter.
func (m meter) Listens(link string, shard int, h watch.Health) {
	m.counts.Listens(link, shard, telemetry.Listener{
		Connections: h.Connections, Wanted: h.Wanted, Heard: h.Listened, InTurn: h.Polled,
		Healthy: h.Trouble == "" && h.Connections == h.Wanted, LastEvent: h.LastEvent,
	})
}

// ListensNoMore implements activities.Meter.
func (m meter) ListensNoMore(link string, shard int) { m.counts.ListensNoMore(link, shard) }

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
