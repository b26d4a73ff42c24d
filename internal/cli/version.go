package cli

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo says what this program is.
type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

func (c *cli) versionCommand() *cobra.Command {
	return onNothing(&cobra.Command{
		Use:   "version",
		Short: "Show the version",
		RunE: c.work(func(*cobra.Command, []string) error {
			v := versionInfo{Version: c.env.Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
			if build, ok := debug.ReadBuildInfo(); ok {
				if v.Version == "" {
					v.Version = build.Main.Version
				}
				for _, s := range build.Settings {
					if s.Key == "vcs.revision" {
						v.Commit = s.Value
					}
				}
			}
			if v.Version == "" || v.Version == "(devel)" {
				v.Version = "development"
			}
			return c.show(v, func(io.Writer) { c.say("mailmirror %s (%s, %s)", v.Version, v.Go, v.System) })
		}),
	})
}
