package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mailmirror/internal/fault"
)

// Info says where everything of a running stack is found.
type Info struct {
	// DataDir is absolute.
	DataDir string `json:"data_dir"`
	// PID is the process of `mailmirror up`.
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	// DatabaseDSN connects to Mailmirror's own database. That of the private
	// cluster is a URL without a password, for the user who runs `up`; that of
	// an external database is as the operator gave it, so it is not for logs.
	DatabaseDSN string `json:"database_dsn"`
	// TemporalAddress is host:port of the frontend.
	TemporalAddress   string `json:"temporal_address"`
	TemporalNamespace string `json:"temporal_namespace"`
	// TemporalExternal says that the cluster is not ours: TLS and API key then
	// come from Temporal's standard environment configuration.
	TemporalExternal bool `json:"temporal_external"`
	// WebUIURL is empty where Temporal is external.
	WebUIURL string `json:"web_ui_url"`
	// MetricsURL is where the worker shows metrics; empty where its own settings
	// say where.
	MetricsURL string `json:"metrics_url,omitempty"`
	// KeyFile is where the key for sealed passwords belongs. The stack only
	// makes its folder; whoever seals first makes the file.
	KeyFile string `json:"key_file"`
	Ports   Ports  `json:"ports"`
	// State is "starting" until PostgreSQL and Temporal serve.
	State string `json:"state"`
	// Children is what runs now; it is not part of the file.
	Children []ChildInfo `json:"-"`
}

const (
	stateStarting = "starting"
	stateServing  = "serving"
)

// layout names the parts of a data directory.
type layout struct{ dir string }

func (l layout) lock() string     { return filepath.Join(l.dir, "lock") }
func (l layout) info() string     { return filepath.Join(l.dir, "stack.json") }
func (l layout) run() string      { return filepath.Join(l.dir, "run") }
func (l layout) log() string      { return filepath.Join(l.dir, "log") }
func (l layout) secrets() string  { return filepath.Join(l.dir, "secrets") }
func (l layout) postgres() string { return filepath.Join(l.dir, "postgres") }
func (l layout) passfile() string { return filepath.Join(l.secrets(), "pgpass") }
func (l layout) keyFile() string  { return filepath.Join(l.secrets(), "seal.key") }

// Load returns where the stack of a data directory listens, for every command
// that is not `up` itself. It fails, with what to do about it, when no stack
// was ever started there, or none is running now.
func Load(dataDir string) (Info, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return Info{}, err
	}
	l := layout{dir}
	hint := "start it: mailmirror up --data " + dataDir
	info, err := readInfo(l.info())
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fault.New(fault.Config, "find stack",
			fmt.Errorf("none was ever started in %s", dataDir), hint)
	}
	if err != nil {
		return Info{}, fault.New(fault.Config, "find stack", err, "is --data the directory of this user's `mailmirror up`?")
	}
	running, err := locked(l.lock())
	if err != nil {
		return Info{}, fault.New(fault.Config, "find stack", err, "")
	}
	if !running {
		return Info{}, fault.New(fault.Transient, "find stack",
			fmt.Errorf("the one in %s is not running (last started %s)", dataDir, info.StartedAt.Format(time.RFC3339)), hint)
	}
	if info.State != stateServing {
		return Info{}, fault.New(fault.Transient, "find stack",
			fmt.Errorf("the one in %s is still starting", dataDir), "try again in a few seconds; see "+l.log())
	}
	records, err := readPIDRecords(l.run())
	if err != nil {
		return Info{}, fmt.Errorf("read pid files: %w", err)
	}
	for _, r := range records {
		if r.alive() {
			info.Children = append(info.Children, ChildInfo{Name: r.Name, PID: r.PID})
		}
	}
	return info, nil
}

func readInfo(path string) (Info, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Info{}, err
	}
	var info Info
	if err := json.Unmarshal(b, &info); err != nil {
		return Info{}, fmt.Errorf("read %s: %w", path, err)
	}
	return info, nil
}
