package main

import (
	"io"
	"strings"
	"testing"
)

func TestSettingsReportEveryFaultAndNoPassword(t *testing.T) {
	const url = "postgres://u:topsecret@127.0.0.1:5432/postgres"
	env := func(value string) func(string) string {
		return func(key string) string {
			if key == databaseEnv {
				return value
			}
			return ""
		}
	}
	for _, test := range []struct {
		name     string
		args     []string
		database string
		want     []string
	}{
		{"from the environment", nil, url, nil},
		{"by flag", []string{"--database", url}, "", nil},
		{"no web ui", []string{"--ui-port", "0"}, url, nil},
		{"no database", nil, "", []string{"--database"}},
		{"not a url", nil, "host=x password=topsecret", []string{"--database"}},
		{
			"many at once", []string{"--frontend-port", "0", "--retention", "1h", "--log-level", "loud", "--shards", "0", "rest"}, url,
			[]string{"--frontend-port: 0 is no port", "--retention", `"loud"`, "--shards", `"rest"`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var output strings.Builder
			_, err := parseSettings(test.args, env(test.database), &output)
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("error: %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "topsecret") {
				t.Errorf("the error quotes the password: %v", err)
			}
		})
	}
	if _, err := parseSettings([]string{"--help"}, env(url), io.Discard); err == nil {
		t.Error("--help must end the program")
	}
}

func TestHelpShowsNoPassword(t *testing.T) {
	var output strings.Builder
	_, _ = parseSettings([]string{"--help"}, func(string) string { return "postgres://u:topsecret@h/d" }, &output)
	if strings.Contains(output.String(), "topsecret") {
		t.Errorf("usage shows the password:\n%s", output.String())
	}
}

func TestDatabaseURLKeepsEverythingElse(t *testing.T) {
	got, err := databaseURL("postgres://u@/postgres?host=%2Fsockets&port=7432", "temporal")
	if want := "postgres://u@/temporal?host=%2Fsockets&port=7432"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := databaseURL("postgres://u:top secret@[/x", "temporal"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error: %v", err)
	}
}
