// Package config holds the settings of Mailmirror's programs: one strict TOML
// file over the environment over the defaults, and flags over all three.
//
// It owns every key, its default and its limits, and reports all faults at
// once, each with its key and where it was said. It must not know what the
// settings are for: no database, no Temporal, no store.
package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Config is what an operator may decide. Empty strings mean "not set".
type Config struct {
	// DataDir is the data directory of `mailmirror up`. Where it is set, the
	// database, Temporal and the key file of that stack serve for whatever of
	// the three is not set here.
	DataDir string
	// KeyFile holds the keys that seal the trusted servers' passwords.
	KeyFile  string
	Database Database
	Temporal Temporal
	Log      Log
	Worker   Worker
	Compare  Compare
	Sweep    Sweep
	Lease    Lease
	// Retention is how long the record of what was done is kept.
	Retention Retention
	Retry     Retry
	Metrics   Metrics

	// File is the configuration file that was read, absolute, so that a process
	// that this one starts elsewhere can read it too; "" where there is none.
	File string

	// origins says for each key that is not at its default where it was set.
	origins map[string]string
}

// Database says where PostgreSQL is. At most one of the two is set.
type Database struct {
	// DSN is a connection string, as a URL or in key=value form. It may hold a
	// password, so it is never printed.
	DSN string
	// DSNFile is a file with the connection string, such as a systemd credential.
	DSNFile string
}

// Temporal lies over Temporal's own environment configuration (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_CONFIG_FILE and so on): what is empty here comes
// from there.
type Temporal struct {
	Address    string // host:port
	Namespace  string
	APIKeyFile string
	TLS        TemporalTLS
}

// TemporalTLS protects the connection to Temporal; the four other settings
// need Enabled.
type TemporalTLS struct {
	Enabled    bool
	CAFile     string // PEM
	CertFile   string // PEM
	KeyFile    string // PEM
	ServerName string
}

// Log says what is logged and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
}

// Worker bounds the work of one worker process.
type Worker struct {
	// Mailboxes is how many are synced at a time.
	Mailboxes int
	// PageSize is how many mailboxes one step of a full compare reviews.
	PageSize int
	// Debounce is how long a sync that follows another of its mailbox waits for
	// more changes to come.
	Debounce time.Duration
	// Grace is how long a worker that is told to stop waits for its work to
	// break off in good order.
	Grace time.Duration
}

// Compare is the full compare of every mailbox.
type Compare struct{ Interval time.Duration }

// Sweep is the start of what is due and not running.
type Sweep struct{ Interval time.Duration }

// Lease is the permission to write to one mailbox.
type Lease struct {
	// TTL is how long it lasts unless it is renewed: also how long a crashed
	// worker's mailbox waits for the next one.
	TTL time.Duration
	// Fence is how long after a lease that ended badly a write may still land.
	Fence time.Duration
}

// Retention is how long history stays with the live one, and how long in the
// archive after it was recorded, before it is dropped.
type Retention struct{ History, Archive time.Duration }

// Retry is how a mailbox that keeps failing is tried again: after Initial,
// then after twice as long each time, up to Maximum.
type Retry struct{ Initial, Maximum time.Duration }

// Metrics says where a worker shows its figures.
type Metrics struct {
	// Listen is host:port for Prometheus, "" for nowhere.
	Listen string
}

// Defaults returns the settings of an empty file in an empty environment.
func Defaults() Config {
	return Config{
		Log:     Log{Level: "info", Format: "text"},
		Worker:  Worker{Mailboxes: 8, PageSize: 200, Debounce: 2 * time.Second, Grace: 15 * time.Second},
		Compare: Compare{Interval: 4 * time.Hour},
		Sweep:   Sweep{Interval: time.Minute},
		Lease:   Lease{TTL: 15 * time.Second, Fence: 2 * time.Second},
		// Three months, of which two are whole at any time, and two years.
		Retention: Retention{History: 90 * 24 * time.Hour, Archive: 730 * 24 * time.Hour},
		Retry:     Retry{Initial: 30 * time.Second, Maximum: time.Hour},
	}
}

// DatabaseDSN returns the connection string, read from its file where it is
// kept in one, or "" where neither is set. Its errors never quote it.
func (c Config) DatabaseDSN() (string, error) {
	if c.Database.DSNFile == "" {
		return c.Database.DSN, nil
	}
	return readSecret("database.dsn_file", c.Database.DSNFile)
}

// TemporalAPIKey returns the API key, or "" where none is set.
func (c Config) TemporalAPIKey() (string, error) {
	if c.Temporal.APIKeyFile == "" {
		return "", nil
	}
	return readSecret("temporal.api_key_file", c.Temporal.APIKeyFile)
}

func readSecret(key, path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", fmt.Errorf("%s: %w", key, errors.New("the file is empty"))
	}
	return value, nil
}
