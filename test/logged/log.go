// Package logged checks what Mailmirror logs.
package logged

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"mailmirror/test/output"
)

// Log keeps what is logged, of all levels.
type Log struct{ output.Buffer }

// Logger returns one that writes to the log.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Want checks that a message of Lines was logged so many times, and that the log holds
// none of the canaries.
func (l *Log) Want(t *testing.T, message string, times int, canaries ...string) {
	t.Helper()
	Check(t, l.String(), map[string]int{message: times}, canaries...)
}

// AtLeastOnce is for Check: the message was logged once or several times.
const AtLeastOnce = -1

// Check checks a log in JSON. Each line at level info that is one of Lines has its keys.
// Each message of times was logged so many times at this level. No canary is in the log.
func Check(t *testing.T, log string, times map[string]int, canaries ...string) {
	t.Helper()
	found := map[string]int{}
	for text := range strings.Lines(log) {
		var values map[string]any
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		message, _ := values["msg"].(string)
		line, known := Lines[message]
		if !known || values["level"] != "INFO" {
			continue
		}
		found[message]++
		var keys []string
		for key := range values {
			// The keys of Temporal's SDK begin with a capital.
			if key != "msg" && key != "time" && key != "level" && strings.ToLower(key) == key {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != line.Keys {
			t.Errorf("%q has the keys %s, want %s", message, got, line.Keys)
		}
	}
	for message, want := range times {
		if _, known := Lines[message]; !known {
			t.Errorf("%q is not listed in Lines", message)
		}
		if got := found[message]; got != want && (want != AtLeastOnce || got == 0) {
			t.Errorf("%q was logged %d times, want %d, in:\n%s", message, got, want, log)
		}
	}
	for _, canary := range canaries {
		if at := strings.Index(log, canary); at >= 0 {
			t.Errorf("%q is in the log: %.300s", canary, log[max(0, at-200):])
		}
	}
}
