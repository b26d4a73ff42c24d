package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"

	"mailmirror/internal/telemetry"
)

// scrape asks a server as Prometheus does.
func scrape(t *testing.T, s *telemetry.Server) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr().String()+telemetry.MetricsPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", answer.StatusCode, body)
	}
	return string(body)
}

func expect(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("the scrape lacks %q", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestMetricsAreShown(t *testing.T) {
	registry := telemetry.NewRegistry()
	m, err := telemetry.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := telemetry.NewMetrics(registry); err == nil {
		t.Error("the same metrics were registered twice")
	}
	var failure error
	now := telemetry.Standing{State: "suspending", Links: []telemetry.LinkStanding{{Link: "dr", State: "suspended",
		Mailboxes: map[string]int{"equal": 7}, Lag: 3 * time.Second, LagKnown: true, Held: map[string]int64{"waiting": 12},
		Shards: []telemetry.Listener{{Connections: 1, Wanted: 2, Heard: 5, InTurn: 6, LastEvent: time.UnixMilli(1_700_000_000_500)},
			{Shard: 1, Wanted: 1}}}, {Link: "blind", Shards: []telemetry.Listener{{}}}},
		Background: []telemetry.Loop{{Loop: "sweep", Healthy: true}, {Loop: "listening", Link: "blind"}}}
	if err := telemetry.ShowStanding(registry, func(context.Context) (telemetry.Standing, error) { return now, failure }); err != nil {
		t.Fatal(err)
	}
	meter, err := telemetry.Meter(registry, "sdk")
	if err != nil {
		t.Fatal(err)
	}
	requests, err := meter.Int64Counter("temporal_request")
	if err != nil {
		t.Fatal(err)
	}
	latency, err := meter.Float64Histogram("temporal_request_latency", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	requests.Add(t.Context(), 3)
	latency.Record(t.Context(), 0.02)
	m.Event("dr", "message in")
	m.Event("dr", "message in")
	m.Unannounced("dr")
	m.Synced("dr", "failed", time.Second)
	m.SyncFailed("dr", "transient")
	m.LeaseWait("dr")
	m.Copied("dr", "greetings", 2, 4096, 1, 3)
	m.ActivityFailed("ReviewPage", "config")

	server, err := telemetry.Serve(t.Context(), "127.0.0.1:0", registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, err = telemetry.Serve(t.Context(), server.Addr().String(), registry, slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second server on the same port: %v", err)
	}
	text := scrape(t, server)
	expect(t, text,
		`mailmirror_events_total{kind="message in",link="dr"} 2`,
		`mailmirror_unannounced_changes_total{link="dr"} 1`,
		`mailmirror_syncs_total{link="dr",outcome="failed"} 1`,
		`mailmirror_sync_failures_total{kind="transient",link="dr"} 1`,
		`mailmirror_sync_seconds_count{link="dr"} 1`,
		`mailmirror_lease_waits_total{link="dr"} 1`,
		`mailmirror_messages_total{change="copied",link="dr",role="greetings"} 2`,
		`mailmirror_messages_total{change="flagged",link="dr",role="greetings"} 1`,
		`mailmirror_messages_total{change="expunged",link="dr",role="greetings"} 3`,
		`mailmirror_copied_bytes_total{link="dr",role="greetings"} 4096`,
		`mailmirror_activity_failures_total{activity="ReviewPage",kind="config"} 1`,
		`mailmirror_listener_connections{link="dr",shard="0"} 1`,
		`mailmirror_listener_connections_wanted{link="dr",shard="0"} 2`,
		`mailmirror_listener_mailboxes{link="dr",shard="0",way="heard"} 5`,
		`mailmirror_listener_mailboxes{link="dr",shard="0",way="in turn"} 6`,
		`mailmirror_listener_healthy{link="dr",shard="0"} 0`,
		`mailmirror_listener_last_event_timestamp_seconds{link="dr",shard="0"} 1.7000000005e+09`,
		`mailmirror_listener_healthy{link="dr",shard="1"} 0`,
		`mailmirror_listener_connections{link="dr",shard="1"} 0`,
		`mailmirror_listener_healthy{link="blind",shard="0"} 0`,
		`mailmirror_listener_last_event_timestamp_seconds{link="blind",shard="0"} 0`,
		`mailmirror_lag_seconds{link="blind"} NaN`,
		`mailmirror_background_healthy{link="",loop="sweep"} 1`,
		`mailmirror_background_healthy{link="blind",loop="listening"} 0`,
		`mailmirror_database_up 1`,
		`mailmirror_suspension{link="",state="running"} 0`,
		`mailmirror_suspension{link="",state="suspending"} 1`,
		`mailmirror_suspension{link="dr",state="suspended"} 1`,
		`mailmirror_suspension{link="dr",state="running"} 0`,
		`mailmirror_mailboxes{link="dr",state="equal"} 7`,
		`mailmirror_lag_seconds{link="dr"} 3`,
		`mailmirror_held_messages{decision="waiting",link="dr"} 12`,
		`temporal_request_total 3`,
		`temporal_request_latency_seconds_bucket{le="0.025"} 1`,
	)
}

// TestADatabaseThatIsDown leaves out what it would tell, and shows the rest.
func TestADatabaseThatIsDown(t *testing.T) {
	registry := telemetry.NewRegistry()
	err := telemetry.ShowStanding(registry, func(context.Context) (telemetry.Standing, error) { return telemetry.Standing{}, errors.New("down") })
	if err != nil {
		t.Fatal(err)
	}
	server, err := telemetry.Serve(t.Context(), "127.0.0.1:0", registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	text := scrape(t, server)
	expect(t, text, `mailmirror_database_up 0`)
	if strings.Contains(text, "mailmirror_suspension") {
		t.Error("a state of the mirror is shown that nobody knows")
	}
	if !strings.Contains(text, "go_goroutines") {
		t.Error("the process's own figures are missing")
	}
}

// TestADatabaseThatGoesDown: what was known is not known any more, and no series
// vanishes, since an alert on one that is missing never fires.
func TestADatabaseThatGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		var failure error
		now := telemetry.Standing{State: "running", Links: []telemetry.LinkStanding{{Link: "dr", LagKnown: true,
			Mailboxes: map[string]int{"equal": 7}, Shards: []telemetry.Listener{{Connections: 1, Healthy: true}}}}}
		err := telemetry.ShowStanding(registry, func(context.Context) (telemetry.Standing, error) { return now, failure })
		if err != nil {
			t.Fatal(err)
		}
		count := func() (series, unknown int) {
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					series++
					if math.IsNaN(m.GetGauge().GetValue()) {
						unknown++
					}
				}
			}
			return series, unknown
		}
		before, unknown := count()
		if unknown > 0 || before < 10 {
			t.Errorf("%d series, %d of them unknown", before, unknown)
		}
		now, failure = telemetry.Standing{}, errors.New("down")
		time.Sleep(time.Minute)
		if after, unknown := count(); after != before || unknown != before-1 {
			t.Errorf("with the database down %d of %d series, %d of them unknown", after, before, unknown)
		}
	})
}
