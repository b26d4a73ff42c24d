package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// settingsOnly compares what an operator may decide.
var settingsOnly = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.IgnoreFields(Config{}, "File")}

func noEnvironment(string) (string, bool) { return "", false }

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v, true
			}
		}
		return "", false
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleFileIsCompleteAndHoldsTheDefaults(t *testing.T) {
	const example = "../../deploy/config.example.toml"
	c, err := Load(Sources{File: example, LookupEnv: noEnvironment})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Defaults(), c, settingsOnly); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
	for _, s := range c.settings() {
		if c.origin(s.key) == "default" {
			t.Errorf("the example does not show %s", s.key)
		}
	}
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`MAILMIRROR_[A-Z_]*[A-Z]`).FindAllString(string(content), -1) {
		if !isVariable(name) {
			t.Errorf("the example speaks of $%s, which means nothing", name)
		}
	}
}

func isVariable(name string) bool {
	if name == FileVariable {
		return true
	}
	c := Defaults()
	for _, s := range c.settings() {
		if EnvironmentName(s.key) == name {
			return true
		}
	}
	return false
}

func TestPrecedence(t *testing.T) {
	file := write(t, "mm.toml", "[worker]\nmailboxes = 3\n[log]\nlevel = \"warn\"\n")
	c, err := Load(Sources{
		File: file,
		LookupEnv: environment("MAILMIRROR_WORKER_MAILBOXES=2", "MAILMIRROR_LOG_LEVEL=debug",
			"MAILMIRROR_WORKER_PAGE_SIZE=17", "MAILMIRROR_LOG_FORMAT=", "MAILMIRROR_TEMPORAL_TLS_ENABLED=true"),
		Flags: map[string]FlagValue{"log.level": {"--log-level", "error"}, "data_dir": {"--data", "/var/lib/mm"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.DataDir = "/var/lib/mm"
	want.Worker.Mailboxes = 3
	want.Worker.PageSize = 17
	want.Log.Level = "error"
	want.Temporal.TLS.Enabled = true
	if diff := cmp.Diff(want, c, settingsOnly); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	origins := map[string]string{}
	for _, s := range c.Effective() {
		origins[s.Key] = s.Origin
	}
	for key, want := range map[string]string{
		"worker.mailboxes": file + ":2",
		"worker.page_size": "$MAILMIRROR_WORKER_PAGE_SIZE",
		"log.level":        "--log-level",
		"log.format":       "default",
	} {
		if origins[key] != want {
			t.Errorf("origin of %s: got %q, want %q", key, origins[key], want)
		}
	}
}

func TestFileNamedByTheEnvironment(t *testing.T) {
	file := write(t, "mm.toml", "sweep.interval = \"5s\"\n")
	c, err := Load(Sources{LookupEnv: environment(FileVariable + "=" + file)})
	if err != nil || c.Sweep.Interval != 5*time.Second || c.File != file {
		t.Errorf("got %v from %q, %v", c.Sweep.Interval, c.File, err)
	}
}

func TestEveryFaultOfAFileIsReportedWithItsLine(t *testing.T) {
	file := write(t, "mm.toml", strings.Join([]string{
		`data = "/x"`,                // 1: unknown
		`[worker]`,                   // 2
		`mailboxes = "many"`,         // 3: no number
		`page_size = 2.5`,            // 4: fraction
		`interval = "4h"`,            // 5: wrong section
		`debounce = 2`,               // 6: no unit
		`[compare]`,                  // 7
		`interval = "4 hours"`,       // 8: no duration
		`[wroker]`,                   // 9: unknown table
		`mailboxes = 1`,              // 10
		`[temporal]`,                 // 11
		`tls = { enabled = "maybe"}`, // 12
		`address = ["a"]`,            // 13
	}, "\n"))
	_, err := Load(Sources{File: file, LookupEnv: environment("MAILMIRROR_RETRY_INITIAL=soon")})
	want := strings.Join([]string{
		`$MAILMIRROR_RETRY_INITIAL: want a duration such as "90s" or "4h", got "soon"`,
		`F:1: data: no such setting`,
		`F:3: worker.mailboxes: want a whole number, got "many"`,
		`F:4: worker.page_size: want a whole number, got a number with a fraction`,
		`F:5: worker.interval: no such setting (is compare.interval meant?)`,
		`F:6: worker.debounce: want a duration in quotes such as "90s" or "4h", got a number`,
		`F:8: compare.interval: want a duration such as "90s" or "4h", got "4 hours"`,
		`F:9: wroker: no such setting`,
		`F:12: temporal.tls.enabled: want true or false, got "maybe"`,
		`F:13: temporal.address: want a string in quotes, got a list`,
	}, "\n")
	if got := message(err, file); got != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}

func message(err error, file string) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), file, "F")
}

func TestSectionThatIsNoTable(t *testing.T) {
	file := write(t, "mm.toml", "worker = 3\n")
	_, err := Load(Sources{File: file, LookupEnv: noEnvironment})
	if got, want := message(err, file), "F:1: worker: want a table, got a number"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBrokenFile(t *testing.T) {
	file := write(t, "mm.toml", "[log]\nlevel = \"info\"\nlevel = \"warn\"\n")
	_, err := Load(Sources{File: file, LookupEnv: noEnvironment})
	if got := message(err, file); !strings.HasPrefix(got, "F:3: ") {
		t.Errorf("a repeated key gave %q", got)
	}
	file = write(t, "mm.toml", "[log]\nlevel = info\n")
	_, err = Load(Sources{File: file, LookupEnv: noEnvironment})
	if got := message(err, file); !strings.HasPrefix(got, "F:2: ") {
		t.Errorf("a bare word gave %q", got)
	}
	_, err = Load(Sources{File: "/nonexistent/mm.toml", LookupEnv: noEnvironment})
	if got, want := message(err, "-"), "/nonexistent/mm.toml: no such file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	file := write(t, "mm.toml", strings.Join([]string{
		`[database]`,
		`dsn = "mysql://root:geheim@db/x"`,
		`dsn_file = "/nonexistent/dsn"`,
		`[temporal]`,
		`address = "cluster"`,
		`[temporal.tls]`,
		`cert_file = "/nonexistent/cert.pem"`,
		`[log]`,
		`level = "loud"`,
		`format = "xml"`,
		`[worker]`,
		`mailboxes = 0`,
		`[lease]`,
		`ttl = "1ms"`,
		`[retry]`,
		`initial = "2h"`,
	}, "\n"))
	c, err := Load(Sources{File: file, LookupEnv: noEnvironment})
	if err != nil {
		t.Fatal(err)
	}
	got := message(c.Validate(), file)
	want := strings.Join([]string{
		`F:3: database.dsn_file: set together with database.dsn; only one of them can hold`,
		`F:2: database.dsn: is no valid postgres:// URL`,
		`F:3: database.dsn_file: open /nonexistent/dsn: no such file or directory`,
		`key_file: not set, and there is no data_dir that would hold one`,
		`F:5: temporal.address: want host:port, got "cluster"`,
		`F:7: temporal.tls.cert_file: open /nonexistent/cert.pem: no such file or directory`,
		`F:7: temporal.tls.cert_file: cert_file and key_file need each other`,
		`temporal.tls.enabled: is false, but other settings of temporal.tls are set`,
		`F:9: log.level: "loud" is none of debug, info, warn, error`,
		`F:10: log.format: "xml" is none of text, json`,
		`F:12: worker.mailboxes: 0 is not between 1 and 1000`,
		`F:14: lease.ttl: 1ms is not between 2s and 5m`,
		`retry.maximum: 1h is below retry.initial (2h)`,
	}, "\n")
	if got != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
	if strings.Contains(got, "geheim") {
		t.Error("a fault quotes the password of the connection string")
	}
}

func TestValidSettings(t *testing.T) {
	c := Defaults()
	c.DataDir = "/var/lib/mailmirror"
	if err := c.Validate(); err != nil {
		t.Errorf("data_dir alone: %v", err)
	}
	if err := Defaults().Validate(); err == nil {
		t.Error("settings without any database were accepted")
	}
	open := write(t, "key", "k")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	c.KeyFile = open
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "every user") {
		t.Errorf("a key that everybody may read: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	c := Defaults()
	c.Database.DSN = "postgres://u:geheim@h/d"
	for _, s := range c.Effective() {
		if strings.Contains(s.Value, "geheim") {
			t.Errorf("%s shows a password", s.Key)
		}
	}
	c = Defaults()
	c.Database.DSNFile = write(t, "dsn", "postgres://h/d\n")
	if dsn, err := c.DatabaseDSN(); err != nil || dsn != "postgres://h/d" {
		t.Errorf("got %q, %v", dsn, err)
	}
	c.Temporal.APIKeyFile = write(t, "api", "\n")
	if _, err := c.TemporalAPIKey(); err == nil {
		t.Error("an empty API key file was accepted")
	}
}

func FuzzLoadFile(f *testing.F) {
	f.Add([]byte("[worker]\nmailboxes = 3\n"))
	f.Add([]byte("a.b.c = {d = 1, e.f = [1, {x = 2}]}\n[[worker]]\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := Defaults()
		c.origins = map[string]string{}
		c.applyFile("f", content)
		_ = c.Validate()
	})
}
