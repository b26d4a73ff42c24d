package cli

import (
	"io"

	"github.com/spf13/cobra"

	"mailmirror/internal/config"
)

func (c *cli) migrateCommand() *cobra.Command {
	return onNothing(&cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema to this release",
		Long: `Brings the schema of the PostgreSQL database to this release. A worker does the
same when it starts, and so does "mailmirror up": use this command if you want to
migrate before you start the workers of a new release. Workers of the release before
go on meanwhile. No other command changes the schema.

  mailmirror migrate --config mailmirror.toml`,
		RunE: c.work(func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.settingsBy(config.Config.ValidateWithoutKey)
			if err != nil {
				return err
			}
			log, err := c.logger(cfg)
			if err != nil {
				return err
			}
			before, after, err := c.env.Migrate(cmd.Context(), cfg, log, c.actor())
			if err != nil {
				return err
			}
			shown := struct {
				Before int64 `json:"before"`
				After  int64 `json:"after"`
			}{before, after}
			return c.show(shown, func(io.Writer) {
				if before == after {
					c.say("the schema is at version %d: nothing to migrate", after)
					return
				}
				c.say("the schema was migrated from version %d to version %d", before, after)
			})
		}),
	})
}
