package cli

import (
	"io"

	"github.com/spf13/cobra"

	"mailmirror/internal/config"
)

func (c *cli) configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "The settings: check",
	}, onNothing(&cobra.Command{
		Use:   "check",
		Short: "Report every fault of the settings at once, and show where each comes from",
		Long: `Reads flags, the configuration file and the environment as every command does,
reports everything that is wrong with them, and otherwise shows each setting
with its origin. Nothing is connected to, and no secret is shown.`,
		RunE: c.work(func(*cobra.Command, []string) error {
			cfg, err := c.settings()
			if err != nil {
				return err
			}
			settings := cfg.Effective()
			return c.show(map[string][]config.Setting{"settings": settings}, func(w io.Writer) {
				t := c.newTable("SETTING", "VALUE", "ORIGIN")
				for _, s := range settings {
					t.row(s.Key, s.Value, s.Origin)
				}
				t.write(w)
			})
		}),
	}))
}
