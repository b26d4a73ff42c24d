package stack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"

	"mailmirror/internal/fault"
)

const loopback = "127.0.0.1"

// Ports are the ports on 127.0.0.1 that a stack listens on. In Options, 0
// means: the one chosen last time if it is free, otherwise any free one.
type Ports struct {
	Postgres         int `json:"postgres"`
	TemporalFrontend int `json:"temporal_frontend"`
	TemporalHistory  int `json:"temporal_history"`
	TemporalMatching int `json:"temporal_matching"`
	TemporalWorker   int `json:"temporal_worker"`
	TemporalUI       int `json:"temporal_ui"`
	Metrics          int `json:"metrics"`
}

// DefaultPorts returns the ports that are used unless others are given.
// Temporal's are its usual ones, so that its own command line tool needs no
// address; PostgreSQL's is not the usual one, which a system-wide server holds
// on many machines.
func DefaultPorts() Ports {
	return Ports{
		Postgres:         7432,
		TemporalFrontend: 7233,
		TemporalHistory:  7234,
		TemporalMatching: 7235,
		TemporalWorker:   7239,
		TemporalUI:       8233,
		Metrics:          9464,
	}
}

// PortFlag describes one port to whoever builds a command line.
type PortFlag struct {
	// Flag is the name without dashes, Usage one line about it.
	Flag, Usage string
	Port        *int
}

// Flags lists every port with its flag, in the order of a help page.
func (p *Ports) Flags() []PortFlag {
	return []PortFlag{
		{"postgres-port", "port of the private PostgreSQL", &p.Postgres},
		{"temporal-port", "port of Temporal for clients", &p.TemporalFrontend},
		{"temporal-ui-port", "port of Temporal's Web UI", &p.TemporalUI},
		{metricsFlag, "port of the worker's metrics, for Prometheus", &p.Metrics},
		{"temporal-history-port", "port of Temporal's history service, internal", &p.TemporalHistory},
		{"temporal-matching-port", "port of Temporal's matching service, internal", &p.TemporalMatching},
		{"temporal-worker-port", "port of Temporal's own worker service, internal", &p.TemporalWorker},
	}
}

// The ports of Flags that are not Temporal's.
const (
	postgresFlag = "postgres-port"
	metricsFlag  = "metrics-port"
)

// resolvePorts replaces the zeros of wanted by free ports, preferring those of
// last, and checks that every port in use by the stack is free. Ports that
// needed says no to are set to 0. All ports that are held are named at once.
func resolvePorts(wanted, last Ports, needed func(flag string) bool) (Ports, error) {
	resolved := wanted
	lastFlags := last.Flags()
	taken := map[int]string{}
	var faults []error
	for i, f := range resolved.Flags() {
		if !needed(f.Flag) {
			*f.Port = 0
			continue
		}
		if *f.Port == 0 {
			port, err := choosePort(*lastFlags[i].Port, taken)
			if err != nil {
				return Ports{}, err
			}
			*f.Port = port
		} else if err := checkPort(*f.Port, f.Flag); err != nil {
			faults = append(faults, err)
		}
		if other, twice := taken[*f.Port]; twice {
			faults = append(faults, fmt.Errorf("port %d is given twice: --%s and --%s", *f.Port, other, f.Flag))
		}
		taken[*f.Port] = f.Flag
	}
	if len(faults) > 0 {
		return Ports{}, fault.New(fault.Config, "check ports", errors.Join(faults...),
			"stop what holds the port, or choose another with the flag named above (0 picks a free one)")
	}
	return resolved, nil
}

// checkPort returns an error that names port and holder unless the port is free.
func checkPort(port int, flag string) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("--%s: %d is no port", flag, port)
	}
	err := tryPort(port)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d (--%s) is in use by %s", port, flag, portHolder(port))
	default:
		return fmt.Errorf("port %d (--%s) cannot be used: %w", port, flag, err)
	}
}

// tryPort listens and closes at once.
func tryPort(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// choosePort returns last when it is free, else a free port that is not taken.
// It looks below the range from which the kernel gives ports to outgoing
// connections: there, one could vanish while a child that died is restarted.
func choosePort(last int, taken map[int]string) (int, error) {
	usable := func(port int) bool { return taken[port] == "" && tryPort(port) == nil }
	if last > 0 && usable(last) {
		return last, nil
	}
	const lowest, count, attempts = 10000, 20000, 200
	for range attempts {
		if port := lowest + rand.IntN(count); usable(port) {
			return port, nil
		}
	}
	return 0, fault.Newf(fault.Transient, "choose port: found none free between %d and %d", lowest, lowest+count)
}
