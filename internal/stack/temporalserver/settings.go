package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"
)

// databaseEnv may hold the connection string instead of the --database flag,
// because the process list shows flags to everybody on the machine.
const databaseEnv = "MAILMIRROR_TEMPORAL_DATABASE"

// settings is what the command line decides.
type settings struct {
	// database is a postgres:// URL of any existing database of the server that
	// is to hold Temporal's two; the user must be allowed to create databases.
	database string
	// Ports on 127.0.0.1. Only frontend and ui are for clients; the other three
	// are how the services of this one process reach one another. A uiPort of 0
	// runs without the Web UI.
	frontendPort, historyPort, matchingPort, workerPort, uiPort int
	namespace                                                   string
	// retention is how long Temporal keeps the history of a closed workflow. It
	// counts only when the namespace is created: afterwards it is the operator's.
	retention time.Duration
	// shards is the number of history shards, fixed for ever when the databases
	// are first set up; Temporal goes on with the stored number whatever is said
	// here.
	shards   int
	logLevel string
}

// parseSettings reads flags and environment, reporting all faults at once on
// output together with the usage.
func parseSettings(args []string, getenv func(string) string, output io.Writer) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("mailmirror-temporal", flag.ContinueOnError)
	fs.SetOutput(output)
	fs.StringVar(&s.database, "database", "", // the variable is no default, which the usage would show
		"postgres:// `URL` of the PostgreSQL server; use its passfile parameter, or $"+databaseEnv+", rather than a password here")
	fs.IntVar(&s.frontendPort, "frontend-port", 7233, "`port` for Temporal clients")
	fs.IntVar(&s.historyPort, "history-port", 7234, "`port` of the history service, internal")
	fs.IntVar(&s.matchingPort, "matching-port", 7235, "`port` of the matching service, internal")
	fs.IntVar(&s.workerPort, "worker-port", 7239, "`port` of Temporal's own worker service, internal")
	fs.IntVar(&s.uiPort, "ui-port", 8233, "`port` of the Web UI; 0 switches it off")
	fs.StringVar(&s.namespace, "namespace", "default", "`name` of the namespace to create")
	fs.DurationVar(&s.retention, "retention", 72*time.Hour, "how long closed workflows are kept, decided when the namespace is created")
	fs.IntVar(&s.shards, "shards", 4, "`number` of history shards, decided when the databases are created")
	fs.StringVar(&s.logLevel, "log-level", "warn", "`level`: debug, info, warn or error")
	if err := fs.Parse(args); err != nil {
		return settings{}, err
	}
	if s.database == "" {
		s.database = getenv(databaseEnv)
	}
	if err := s.validate(fs.Args()); err != nil {
		fmt.Fprintf(output, "%v\n", err)
		fs.Usage()
		return settings{}, err
	}
	return s, nil
}

func (s settings) validate(rest []string) error {
	var faults []error
	if len(rest) > 0 {
		faults = append(faults, fmt.Errorf("unexpected argument %q", rest[0]))
	}
	// The URL may hold a password, so no fault quotes it.
	if u, err := url.Parse(s.database); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		faults = append(faults, errors.New("--database: need a postgres:// URL"))
	}
	for _, p := range []struct {
		flag string
		port int
		min  int
	}{
		{"--frontend-port", s.frontendPort, 1},
		{"--history-port", s.historyPort, 1},
		{"--matching-port", s.matchingPort, 1},
		{"--worker-port", s.workerPort, 1},
		{"--ui-port", s.uiPort, 0},
	} {
		if p.port < p.min || p.port > 65535 {
			faults = append(faults, fmt.Errorf("%s: %d is no port", p.flag, p.port))
		}
	}
	if s.namespace == "" {
		faults = append(faults, errors.New("--namespace: must not be empty"))
	}
	if s.retention < 24*time.Hour {
		faults = append(faults, errors.New("--retention: Temporal keeps histories for 24h at the least"))
	}
	if s.shards < 1 {
		faults = append(faults, errors.New("--shards: must be 1 or more"))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s.logLevel) {
		faults = append(faults, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", s.logLevel))
	}
	return errors.Join(faults...)
}
