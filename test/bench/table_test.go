package main

import (
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	same := func(x float64) float64 { return x }
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.in, same); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

// TestTable builds a table of two rounds in which the machine was twice as
// slow in the second: the ratio must not show that.
func TestTable(t *testing.T) {
	b := &bench{
		options: options{rounds: 2, parallel: 4, tools: []string{toolCeiling, toolMbsync, toolDsync}},
		stages:  []*stage{{cases: []benchCase{caseInitial}, amount: amount{mailboxes: 100, messages: 3000, bytes: 200e6}}},
	}
	for round, slow := range []float64{1, 2} {
		seconds := func(n float64) time.Duration { return time.Duration(n * slow * float64(time.Second)) }
		b.results = append(b.results,
			result{Tool: toolCeiling, Case: caseInitial, Round: round, Usage: usage{Wall: seconds(2), Idle: true}},
			result{Tool: toolMbsync, Case: caseInitial, Round: round, Usage: usage{Wall: seconds(4), Tool: time.Second, Peak: 7e6},
				Differences: []string{"1 folder \"INBOX\": subscribed: true / false", "1 folder \"INBOX\": 1 / 0 times: 5 bytes | pipe"}},
			result{Tool: toolDsync, Case: caseInitial, Round: round, Failure: "not installed", Absent: true})
	}
	table := b.markdown("versions")
	for _, want := range []string{
		"| initial copy | ceiling | 3.00 | 1000 | 66.7 | 30.00 | 0.00 | 0.00 |  | 0 | 1.00 | yes |",
		"| initial copy | mbsync | 6.00 | 500 | 33.3 | 60.00 | 1.00 | 0.00 |  | 7 | 0.50 | no |",
		"| initial copy | dsync | not installed |",
		"1 differences of messages (times on the source / on the target), 1 of folders and subscriptions, such as: 1 folder \"INBOX\": 1 / 0 times: 5 bytes / pipe",
		"of 4 measured sections 2 began on a machine that was not idle",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("table lacks %q:\n%s", want, table)
		}
	}
	sameColumns(t, table)
}

func TestTargets(t *testing.T) {
	go1 := func(tool string, c benchCase, wall time.Duration, above int64) result {
		return result{Tool: tool, Case: c, Usage: usage{Wall: wall, AboveIdle: above}}
	}
	good := []result{
		go1(toolCeiling, caseInitial, 7*time.Second, 0), go1(toolMailmirror, caseInitial, 9*time.Second, 0), go1(toolDsync, caseInitial, 10*time.Second, 0),
		go1(toolCeiling, caseUnchanged, 7*time.Second, 0), go1(toolMailmirror, caseUnchanged, 9*time.Second, 0),
		go1(toolCeiling, caseMany, 7*time.Second, 0), go1(toolMailmirror, caseMany, 9*time.Second, 0),
		go1(toolMailmirror, caseShared, 600*time.Millisecond, 0), go1(toolMailmirror, caseLarge, time.Second, 20e6),
	}
	missed := func(results []result) (out []string) {
		for _, target := range (&bench{results: results}).targets() {
			if !target.met {
				out = append(out, target.what)
			}
		}
		return out
	}
	if m := missed(good); len(m) > 0 {
		t.Errorf("missed: %q", m)
	}
	for i, bad := range map[int]result{
		1: go1(toolMailmirror, caseInitial, 10100*time.Millisecond, 0), // misses the ceiling's share and dsync
		5: go1(toolMailmirror, caseMany, 11*time.Second, 0),
		7: go1(toolMailmirror, caseShared, time.Second, 0),
		8: go1(toolMailmirror, caseLarge, time.Second, 65e6),
		4: {Tool: toolMailmirror, Case: caseUnchanged, Usage: usage{Wall: time.Second}, Differences: []string{"x"}},
		6: {Tool: toolMailmirror, Case: caseMany, Failure: "failed"},
	} {
		results := append([]result(nil), good...)
		results[i] = bad
		if len(missed(results)) == 0 {
			t.Errorf("result %d: %+v misses nothing", i, bad)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, args := range [][]string{
		{"-rounds", "0"}, {"-mailboxes", "0"}, {"-parallel", "-1"}, {"-messages", "3"},
		{"-review", "10000"}, {"-large", "5000"}, {"-tools", "mbsync,nobody"}, {"-nonsense"},
	} {
		if _, err := parseOptions(args, &strings.Builder{}); err == nil {
			t.Errorf("no error for %v", args)
		}
	}
	o, err := parseOptions(nil, &strings.Builder{})
	if err != nil || o.mailboxes != 100 || len(o.tools) != 4 {
		t.Errorf("defaults: %+v, %v", o, err)
	}
}

func TestShares(t *testing.T) {
	got := shares([]string{"a", "b", "c", "d", "e"}, 2)
	if len(got) != 2 || strings.Join(got[0], "") != "ace" || strings.Join(got[1], "") != "bd" {
		t.Errorf("shares = %v", got)
	}
	if got := shares([]string{"a"}, 4); len(got) != 1 {
		t.Errorf("one mailbox was given to %d processes", len(got))
	}
}

// TestLatencyTargets: a message that never came is the slowest of all.
func TestLatencyTargets(t *testing.T) {
	const ms = time.Millisecond
	quick := []time.Duration{90 * ms, 60 * ms, 70 * ms, 80 * ms}
	f := latencyFigures{way: way{"cyrus", "idle"}, event: quick, deposit: quick}
	for _, c := range []struct {
		name string
		of   int
		all  []latencyFigures
		want string
	}{
		{"all came", 4, []latencyFigures{f}, "met met met"},
		{"one is missing", 5, []latencyFigures{f}, "met missed met"},
		{"most are missing", 9, []latencyFigures{f}, "missed missed missed"},
		{"slow", 4, []latencyFigures{{way: way{"dovecot", "notify"}, event: []time.Duration{200 * ms, 200 * ms, 200 * ms, 2000 * ms},
			deposit: []time.Duration{800 * ms, 800 * ms, 800 * ms, 800 * ms}}}, "missed missed met"},
		{"nobody promises", 4, []latencyFigures{{way: way{"dovecot", "poll"}}}, ""},
	} {
		var got []string
		for _, t := range latencyTargets(latencyOptions{deposits: c.of}, c.all) {
			got = append(got, map[bool]string{true: "met", false: "missed"}[t.met])
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

// sameColumns fails if the rows of a table have not all as many columns.
func sameColumns(t *testing.T, table string) {
	t.Helper()
	columns := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if n := strings.Count(line, "|"); columns == 0 {
			columns = n
		} else if n != columns {
			t.Errorf("%d columns instead of %d: %s", n-1, columns-1, line)
		}
	}
}
