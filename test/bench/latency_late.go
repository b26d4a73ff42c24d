package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// late is from when on a message counts as late, and what its way took is told.
const late = 2 * time.Second

// explain says where a late message was held up: when the sync that copied it
// began and ended, counted from the end of the deposit.
func (l *latency) explain(ctx context.Context, i int, number string, end, announced, readable time.Time) {
	text := fmt.Sprintf("deposit %d into mailbox %s: readable after %v", i, number, readable.Sub(end).Round(time.Millisecond))
	if !announced.IsZero() {
		text += fmt.Sprintf(", announced to us after %v", announced.Sub(end).Round(time.Millisecond))
	}
	out, err := l.mm.command(ctx, "history", benchLink, number, "--limit", "3", "-o", "json").Output()
	var syncs []struct {
		Trigger           string
		Started, Finished time.Time
		Outcome           string
		Messages          struct{ Appended int }
	}
	if err == nil {
		err = json.Unmarshal(out, &syncs)
	}
	if err != nil {
		l.say("%s; its history cannot be read: %v", text, err)
		return
	}
	for _, s := range syncs {
		text += fmt.Sprintf("; %s sync (%s, %d copied) from %v to %v", s.Trigger, s.Outcome, s.Messages.Appended,
			s.Started.Sub(end).Round(time.Millisecond), s.Finished.Sub(end).Round(time.Millisecond))
	}
	l.say("%s; load average %s", text, load())
}

// trouble tells what the worker counted that could have held messages up.
func (l *latency) trouble(ctx context.Context) string {
	b, err := os.ReadFile(filepath.Join(l.mm.data, "stack.json"))
	var stack struct {
		URL string `json:"metrics_url"`
	}
	if err == nil {
		err = json.Unmarshal(b, &stack)
	}
	if err != nil {
		return err.Error()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.URL, nil)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	sums := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), "{")
		if value, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64); err == nil {
			sums[name] += value
		}
	}
	mean := func(name string) string {
		if sums[name+"_count"] == 0 {
			return "–"
		}
		return time.Duration(sums[name+"_sum"] / sums[name+"_count"] * float64(time.Second)).Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.0f events heard of, %.0f syncs, %.0f lease waits, %.0f failed syncs, %.0f failed activities; on average workflow tasks waited %s and activities %s for the worker, and a sync took %s",
		sums["mailmirror_events_total"], sums["mailmirror_syncs_total"],
		sums["mailmirror_lease_waits_total"], sums["mailmirror_sync_failures_total"], sums["mailmirror_activity_failures_total"],
		mean("temporal_workflow_task_schedule_to_start_latency_seconds"), mean("temporal_activity_schedule_to_start_latency_seconds"),
		mean("mailmirror_sync_seconds"))
}
