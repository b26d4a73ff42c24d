package activitytest

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

// Want checks that a message was logged so many times, at Info, and with these keys
// besides those of Temporal's SDK, and that the log holds none of the canaries.
func (l *Log) Want(t *testing.T, message string, times int, keys string, canaries ...string) {
	t.Helper()
	text := l.String()
	found := 0
	for line := range strings.Lines(text) {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatal(err)
		}
		if values["msg"] != message {
			continue
		}
		found++
		var has []string
		for key := range values {
			// Temporal's keys begin with a capital.
			if key != "msg" && key != "time" && key != "level" && strings.ToLower(key) == key {
				has = append(has, key)
			}
		}
		slices.Sort(has)
		if got := strings.Join(has, " "); got != keys || values["level"] != "INFO" {
			t.Errorf("%q has level %v and the keys %s, want %s", message, values["level"], got, keys)
		}
	}
	if found != times {
		t.Errorf("%q is logged %d times, want %d, in:\n%s", message, found, times, text)
	}
	for _, canary := range canaries {
		if strings.Contains(text, canary) {
			t.Errorf("%q is in the log:\n%s", canary, text)
		}
	}
}
