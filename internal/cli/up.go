package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mailmirror/internal/stack"
	"mailmirror/internal/telemetry"
)

func (c *cli) upCommand() *cobra.Command {
	ports := stack.DefaultPorts()
	cmd := onNothing(&cobra.Command{
		Use:   "up --data DIR",
		Short: "Run the whole system on this machine until interrupted",
		Long: `Runs the whole system on this machine: a private PostgreSQL, Temporal with its
Web UI, and the worker, all on 127.0.0.1 and below one data directory. If a
process dies, Mailmirror starts it again. Ctrl-C stops everything in order. The next
"mailmirror up" continues where this one stopped, also after a crash.

With --database or --temporal (or the same in the configuration file) an
existing PostgreSQL or Temporal is used instead of a private one. Every other
command finds the system by the same --data DIR.`,
		RunE: c.work(func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.settings()
			if err != nil {
				return err
			}
			if cfg.DataDir == "" {
				return &usageError{cmd, errors.New("no data directory is given")}
			}
			log, err := telemetry.NewLogger(c.env.Stderr, cfg.Log.Level, cfg.Log.Format)
			if err != nil {
				return err
			}
			return c.env.Up(cmd.Context(), cfg, ports, log, func(info stack.Info) {
				_ = c.show(upReady(info), func(w io.Writer) { c.writeReady(w, info) })
			})
		}),
	})
	cmd.Flags().SortFlags = false
	for _, f := range ports.Flags() {
		cmd.Flags().IntVar(f.Port, f.Flag, *f.Port, f.Usage+"; 0 picks a free one")
	}
	return cmd
}

// ready is what `up` says once everything serves. The connection string is
// left out: that of an external database may hold a password.
type ready struct {
	DataDir           string      `json:"data_dir"`
	PID               int         `json:"pid"`
	TemporalAddress   string      `json:"temporal_address"`
	TemporalNamespace string      `json:"temporal_namespace"`
	WebUIURL          string      `json:"web_ui_url"`
	MetricsURL        string      `json:"metrics_url,omitempty"`
	Ports             stack.Ports `json:"ports"`
}

func upReady(i stack.Info) ready {
	return ready{i.DataDir, i.PID, i.TemporalAddress, i.TemporalNamespace, i.WebUIURL, i.MetricsURL, i.Ports}
}

func (c *cli) writeReady(w io.Writer, i stack.Info) {
	pairs(w, "mailmirror is up", i.DataDir, "Temporal", i.TemporalAddress, "Temporal Web UI", i.WebUIURL, "metrics", i.MetricsURL)
	fmt.Fprintf(w, "next, in another terminal:\n  export MAILMIRROR_DATA=%s\n  mailmirror status\n", i.DataDir)
}
