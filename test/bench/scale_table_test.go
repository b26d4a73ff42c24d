package main

import (
	"strings"
	"testing"
	"time"
)

// TestScaleTable: a way is judged against the bare protocol on the same kind of
// servers with the same bound of logins, and the table says which promise was missed.
func TestScaleTable(t *testing.T) {
	phase := func(took float64, cpu ...float64) (p scalePhase) {
		p.took = time.Duration(took * float64(time.Second))
		for i, c := range cpu {
			p.cpu[i] = time.Duration(c * float64(time.Second))
		}
		return p
	}
	result := scaleResult{
		bare: []bareFigures{
			{bareCase: bareCase{}, first: phase(10, 5, 6, 1), unchanged: phase(8)},
			{bareCase: bareCase{bounded: true}, first: phase(20, 5, 6, 1), unchanged: phase(10)},
			{bareCase: bareCase{bounded: true, shared: true}, first: phase(40), unchanged: phase(20)},
		},
		ways: []wayFigures{
			{way: byLogin, first: phase(29), unchanged: phase(11.6), listening: listeningFigures{up: 50 * time.Second}, sessions: 520,
				production: followed{most: moment{sessions: 521, processes: 530, mem: 4e6}, moments: []moment{{at: time.Second, sessions: 3, processes: 10, mem: 2e6}}}},
			{way: withoutDict, first: phase(61), unchanged: phase(5), sessions: 520,
				production: followed{most: moment{sessions: 520, processes: 530}}},
		},
	}
	table := scaleTable(scaleOptions{mailboxes: 5000, messages: 1, parallel: 4, logins: 100}, result)
	for _, want := range []string{
		"by at most 100 logins to production a second (1000 at once after ten seconds without)",
		"| bare protocol, no bound of logins: first | 10.0 | 5.0 | 6.0 | 1.0 | 0.0 | 0.0 | 12.0 |",
		"| login: first compare | 29.0 (1.45) |",
		" 521, 530, 4 |",
		"| login: unchanged compare | 11.6 (1.16) |",
		"| login: listening up after | 50.0 |",
		"| no-dict: first compare | 61.0 (1.52) |",
		"| no-dict: unchanged compare | 5.0 (0.25) |",
		"over time: 1 s: 3, 10, 2",
		"MISSED: an unchanged compare took 1.16 times as long as the bare protocol, not 1.15",
		"MISSED: production had 521 sessions, and its bound is 520",
		"MISSED: the first compare took 1.52 times as long as the bare protocol, not 1.50",
		"MISSED: after 1m0s not every mailbox was listened to, or read in turn with the reason in status",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("table lacks %q:\n%s", want, table)
		}
	}
	if n := strings.Count(table, "MISSED"); n != 4 {
		t.Errorf("%d promises missed instead of 4:\n%s", n, table)
	}
	sameColumns(t, table)
}
