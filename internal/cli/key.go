package cli

import (
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

func (c *cli) keyCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "key",
		Short: "The key file that seals passwords in the database: create",
	}, &cobra.Command{
		Use:   "create FILE",
		Short: "Make a new key file, readable by its owner alone",
		Long: `Makes a new key file. Name it as key_file in the configuration, the same file on
every machine that runs a worker or this command. "mailmirror up" needs none: it
makes its own below the data directory. An existing file is never replaced.`,
		Args: takes(1, 1),
		RunE: c.work(func(_ *cobra.Command, args []string) error {
			if err := seal.CreateKeyFile(args[0]); err != nil {
				hint := ""
				if errors.Is(err, fs.ErrExist) {
					hint = "every password that it seals would be lost; choose another name"
				}
				return fault.New(fault.Config, "", err, hint)
			}
			return c.show(map[string]string{"created": args[0]}, func(io.Writer) {
				c.say("key file %s created; keep a copy where the database's backups are not", args[0])
			})
		}),
	})
}
