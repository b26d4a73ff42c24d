package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// setting ties one key to its field, so that file, environment, flags and
// `config check` all go through the one table below.
type setting struct {
	key string
	// set takes a string, an int64 or a bool; its errors do not name the key.
	set func(value any) error
	// get returns the value as the file would spell it.
	get func() string
	// secret values are never shown.
	secret bool
}

// settings lists every key there is, in the order of the example file.
func (c *Config) settings() []setting {
	return []setting{
		text("data_dir", &c.DataDir),
		text("key_file", &c.KeyFile),
		hidden(text("database.dsn", &c.Database.DSN)),
		text("database.dsn_file", &c.Database.DSNFile),
		text("temporal.address", &c.Temporal.Address),
		text("temporal.namespace", &c.Temporal.Namespace),
		text("temporal.api_key_file", &c.Temporal.APIKeyFile),
		truth("temporal.tls.enabled", &c.Temporal.TLS.Enabled),
		text("temporal.tls.ca_file", &c.Temporal.TLS.CAFile),
		text("temporal.tls.cert_file", &c.Temporal.TLS.CertFile),
		text("temporal.tls.key_file", &c.Temporal.TLS.KeyFile),
		text("temporal.tls.server_name", &c.Temporal.TLS.ServerName),
		text("log.level", &c.Log.Level),
		text("log.format", &c.Log.Format),
		count("worker.mailboxes", &c.Worker.Mailboxes),
		count("worker.page_size", &c.Worker.PageSize),
		duration("worker.debounce", &c.Worker.Debounce),
		duration("worker.grace", &c.Worker.Grace),
		duration("compare.interval", &c.Compare.Interval),
		duration("sweep.interval", &c.Sweep.Interval),
		duration("lease.ttl", &c.Lease.TTL),
		duration("lease.fence", &c.Lease.Fence),
		duration("retention.history", &c.Retention.History),
		duration("retention.archive", &c.Retention.Archive),
		duration("retry.initial", &c.Retry.Initial),
		duration("retry.maximum", &c.Retry.Maximum),
		text("metrics.listen", &c.Metrics.Listen),
	}
}

// EnvironmentName returns the environment variable of a key. Three that people
// type by hand have short names.
func EnvironmentName(key string) string {
	switch key {
	case "data_dir":
		return "MAILMIRROR_DATA"
	case "database.dsn":
		return "MAILMIRROR_DATABASE"
	case "temporal.address":
		return "MAILMIRROR_TEMPORAL"
	}
	return "MAILMIRROR_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func text(key string, field *string) setting {
	return setting{
		key: key,
		set: func(value any) error {
			s, ok := value.(string)
			if !ok {
				return fmt.Errorf("want a string in quotes, got %s", kindOf(value))
			}
			*field = s
			return nil
		},
		get: func() string { return *field },
	}
}

func hidden(s setting) setting {
	s.secret = true
	return s
}

func truth(key string, field *bool) setting {
	return setting{
		key: key,
		set: func(value any) error {
			switch v := value.(type) {
			case bool:
				*field = v
			case string:
				b, err := strconv.ParseBool(v)
				if err != nil {
					return fmt.Errorf("want true or false, got %q", v)
				}
				*field = b
			default:
				return fmt.Errorf("want true or false, got %s", kindOf(value))
			}
			return nil
		},
		get: func() string { return strconv.FormatBool(*field) },
	}
}

func count(key string, field *int) setting {
	return setting{
		key: key,
		set: func(value any) error {
			switch v := value.(type) {
			case int64:
				*field = int(v)
			case string:
				n, err := strconv.Atoi(v)
				if err != nil {
					return fmt.Errorf("want a whole number, got %q", v)
				}
				*field = n
			default:
				return fmt.Errorf("want a whole number, got %s", kindOf(value))
			}
			return nil
		},
		get: func() string { return strconv.Itoa(*field) },
	}
}

func duration(key string, field *time.Duration) setting {
	return setting{
		key: key,
		set: func(value any) error {
			s, ok := value.(string)
			if !ok {
				return fmt.Errorf(`want a duration in quotes such as "90s" or "4h", got %s`, kindOf(value))
			}
			d, err := time.ParseDuration(s)
			if err != nil {
				return fmt.Errorf(`want a duration such as "90s" or "4h", got %q`, s)
			}
			*field = d
			return nil
		},
		get: func() string { return spell(*field) },
	}
}

// spell writes a duration without the zero units that time.Duration appends.
func spell(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// kindOf names a TOML value's kind in the words of the file's author.
func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case int64:
		return "a number"
	case float64:
		return "a number with a fraction"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return "a date or time"
	}
}
