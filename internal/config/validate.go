package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate reports everything that cannot be right, each fault with its key
// and where that was set.
func (c Config) Validate() error { return c.validate(true) }

// ValidateWithoutKey is Validate for what neither enters nor opens a password: a key file
// need not be set.
func (c Config) ValidateWithoutKey() error { return c.validate(false) }

func (c Config) validate(needsKey bool) error {
	v := validator{config: c, needsKey: needsKey}
	v.database()
	v.temporal()
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.within("worker.mailboxes", c.Worker.Mailboxes, 1, 1000)
	v.within("worker.page_size", c.Worker.PageSize, 1, 1000)
	v.between("worker.debounce", c.Worker.Debounce, 0, 10*time.Minute)
	v.between("worker.grace", c.Worker.Grace, time.Second, 10*time.Minute)
	v.between("compare.interval", c.Compare.Interval, time.Minute, 30*24*time.Hour)
	v.between("sweep.interval", c.Sweep.Interval, time.Second, 24*time.Hour)
	v.between("lease.ttl", c.Lease.TTL, 2*time.Second, 5*time.Minute)
	v.between("lease.fence", c.Lease.Fence, 0, 5*time.Minute)
	v.between("retention.history", c.Retention.History, 24*time.Hour, 3650*24*time.Hour)
	v.between("retention.archive", c.Retention.Archive, 24*time.Hour, 36500*24*time.Hour)
	if c.Retention.Archive < c.Retention.History {
		v.fault("retention.archive", "%s is below retention.history (%s)", spell(c.Retention.Archive), spell(c.Retention.History))
	}
	v.between("retry.initial", c.Retry.Initial, time.Second, 24*time.Hour)
	v.between("retry.maximum", c.Retry.Maximum, time.Second, 7*24*time.Hour)
	if c.Retry.Maximum < c.Retry.Initial {
		v.fault("retry.maximum", "%s is below retry.initial (%s)", spell(c.Retry.Maximum), spell(c.Retry.Initial))
	}
	if c.Metrics.Listen != "" {
		if err := checkAddress(c.Metrics.Listen); err != nil {
			v.fault("metrics.listen", "%v", err)
		}
	}
	return errors.Join(v.faults...)
}

// Usable reports whether there is a database to work with; commands that need
// none do not ask.
func (c Config) Usable() bool {
	return c.DataDir != "" || c.Database.DSN != "" || c.Database.DSNFile != ""
}

type validator struct {
	config   Config
	needsKey bool
	faults   []error
}

func (v *validator) fault(key, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if origin := v.config.origins[key]; origin != "" {
		v.faults = append(v.faults, fmt.Errorf("%s: %s: %s", origin, key, message))
		return
	}
	v.faults = append(v.faults, fmt.Errorf("%s: %s", key, message))
}

func (v *validator) database() {
	c := v.config
	if !c.Usable() {
		v.fault("database.dsn", "not set, nor is data_dir: there is no database to work with")
	}
	if c.Database.DSN != "" && c.Database.DSNFile != "" {
		v.fault("database.dsn_file", "set together with database.dsn; only one of them can hold")
	}
	// The connection string may hold a password: say what is wrong with it
	// without quoting it.
	if dsn := c.Database.DSN; strings.Contains(dsn, "://") {
		if u, err := url.Parse(dsn); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			v.fault("database.dsn", "is no valid postgres:// URL")
		}
	} else if dsn != "" && !strings.Contains(dsn, "=") {
		v.fault("database.dsn", "want a postgres:// URL or key=value pairs")
	}
	v.readable("database.dsn_file", c.Database.DSNFile)
	v.readable("key_file", c.KeyFile)
	v.private("key_file", c.KeyFile)
	if v.needsKey && c.KeyFile == "" && c.DataDir == "" && c.Usable() {
		v.fault("key_file", "not set, and there is no data_dir that would hold one")
	}
}

func (v *validator) temporal() {
	t := v.config.Temporal
	if t.Address != "" {
		if err := checkAddress(t.Address); err != nil {
			v.fault("temporal.address", "%v", err)
		}
	}
	v.readable("temporal.api_key_file", t.APIKeyFile)
	v.readable("temporal.tls.ca_file", t.TLS.CAFile)
	v.readable("temporal.tls.cert_file", t.TLS.CertFile)
	v.readable("temporal.tls.key_file", t.TLS.KeyFile)
	if (t.TLS.CertFile == "") != (t.TLS.KeyFile == "") {
		v.fault("temporal.tls.cert_file", "cert_file and key_file need each other")
	}
	if !t.TLS.Enabled && t.TLS != (TemporalTLS{}) {
		v.fault("temporal.tls.enabled", "is false, but other settings of temporal.tls are set")
	}
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("want host:port, got %q", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.fault(key, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
}

func (v *validator) within(key string, value, low, high int) {
	if value < low || value > high {
		v.fault(key, "%d is not between %d and %d", value, low, high)
	}
}

func (v *validator) between(key string, value, low, high time.Duration) {
	if value < low || value > high {
		v.fault(key, "%s is not between %s and %s", spell(value), spell(low), spell(high))
	}
}

// readable opens the file rather than looking at its mode, because only that
// tells what this user may do.
func (v *validator) readable(key, path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		v.fault(key, "%v", err)
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		v.fault(key, "%s is a directory", path)
	}
}

// private refuses a key that every user of the machine may read.
func (v *validator) private(key, path string) {
	if info, err := os.Stat(path); path != "" && err == nil && info.Mode().Perm()&0o007 != 0 {
		v.fault(key, "%s can be read by every user of this machine; chmod 600 it", path)
	}
}
