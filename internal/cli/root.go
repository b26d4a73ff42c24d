package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/audit"
	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/stack"
	"mailmirror/internal/telemetry"
)

// Exit codes of every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDifferences = 3
)

// Backend is the system that commands work on.
type Backend interface {
	// Control returns what carries out commands.
	Control() *control.Control
	// Close lets go of connections; it does not block on lost ones.
	Close()
}

// Environment is what the process gives to the commands. Nil fields get what
// the operating system offers.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	LookupEnv      func(string) (string, bool)
	// Now returns the time in the zone in which times are shown.
	Now func() time.Time
	// User names who gives the command, for the record; "" means the one whose
	// process it is.
	User string
	// Version is the release; "" means what the build recorded.
	Version string

	// Open reaches the system that the settings describe. It is called at most
	// once, and only by commands that need it.
	Open func(context.Context, config.Config, *slog.Logger) (Backend, error)
	// Migrate brings the database's schema to this release, and returns its versions
	// before and after.
	Migrate func(ctx context.Context, c config.Config, log *slog.Logger, by audit.Actor) (before, after int64, err error)
	// Up runs the one-machine stack until ctx ends. ready is called once, when
	// everything serves.
	Up func(ctx context.Context, c config.Config, ports stack.Ports, log *slog.Logger, ready func(stack.Info)) error
}

// Main runs one command line, without the program's name, and returns the exit
// code. ctx ends when the operator interrupts.
func Main(ctx context.Context, args []string, env Environment) int {
	c := &cli{env: withSystem(env)}
	c.out.w = c.env.Stdout
	root := c.root()
	root.SetArgs(args)
	var err error
	c.ran, err = root.ExecuteContextC(ctx)
	if c.out.err != nil {
		err = c.out.err
	}
	if c.output == "" && asksForJSON(args) {
		c.output = outputJSON
	}
	return c.finish(ctx, err)
}

// Tree returns all commands, without a system to work on: for tests of the texts that
// name commands.
func Tree() *cobra.Command { return (&cli{env: withSystem(Environment{})}).root() }

// asksForJSON finds -o json where parsing ended before it came to it.
func asksForJSON(args []string) bool {
	line := " " + strings.Join(args, " ") + " "
	for _, spelling := range []string{"-o json", "-ojson", "-o=json", "--output json", "--output=json"} {
		if strings.Contains(line, " "+spelling+" ") {
			return true
		}
	}
	return false
}

func withSystem(env Environment) Environment {
	if env.Stdin == nil {
		env.Stdin = os.Stdin
	}
	if env.Stdout == nil {
		env.Stdout = os.Stdout
	}
	if env.Stderr == nil {
		env.Stderr = os.Stderr
	}
	if env.LookupEnv == nil {
		env.LookupEnv = os.LookupEnv
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.User == "" {
		env.User = operator(env.LookupEnv)
	}
	return env
}

// cli is one run of the program.
type cli struct {
	env     Environment
	out     answer
	output  string // outputTable or outputJSON
	noColor bool
	// file, data, database and temporal are the global flags; only those that
	// were given count.
	file, data, database, temporal string
	// as is the name for the record that replaces the operator's.
	as string
	// last is the command whose work began; nil while only the command line
	// was looked at, so that any error until then is one of usage.
	last *cobra.Command
	// ran is the command that was found, whether or not it began.
	ran *cobra.Command
	top *cobra.Command
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mailmirror",
		Short: "Keeps a disaster-recovery message store in step with production, over IMAP",
		Long: `Mailmirror keeps a disaster-recovery (DR) message store in step with
production, over nothing but IMAP, and proves at any moment what is and what is
not mirrored.

A store is one message store server; a link mirrors mailboxes from a source
store to a target store. A first mirror takes five commands:

  mailmirror up --data DIR                  run the whole system on this machine
  mailmirror store add NAME --imap ...      tell it of both stores, then check
  mailmirror link add NAME --source ...     which mirrors which
  mailmirror mailbox add LINK NUMBER...     which mailboxes take part
  mailmirror compare LINK --wait            make the target equal

Settings come from flags, then the configuration file, then MAILMIRROR_...
variables. Exit codes: 0 done, 1 failed, 2 usage, 3 differences found.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	group(root)
	f := root.PersistentFlags()
	f.StringVar(&c.data, "data", "", "data `directory` of \"mailmirror up\" ($MAILMIRROR_DATA)")
	f.StringVar(&c.file, "config", "", "configuration `file` ($MAILMIRROR_CONFIG)")
	f.StringVar(&c.database, "database", "", "PostgreSQL `connection` string; one with a password belongs in a file ($MAILMIRROR_DATABASE)")
	f.StringVar(&c.temporal, "temporal", "", "Temporal `address`, host:port ($MAILMIRROR_TEMPORAL)")
	f.VarP(choice(&c.output, outputTable, outputJSON), "output", "o", "`format`: table or json")
	f.BoolVar(&c.noColor, "no-color", false, "no colours ($NO_COLOR)")
	_ = root.MarkPersistentFlagDirname("data")
	_ = root.MarkPersistentFlagFilename("config", "toml")
	_ = root.RegisterFlagCompletionFunc("output", fixed(outputTable, outputJSON))
	root.AddGroup(
		&cobra.Group{ID: "setup", Title: "Set up:"},
		&cobra.Group{ID: "work", Title: "Mirror and prove:"},
		&cobra.Group{ID: "look", Title: "Look:"},
	)
	root.SetHelpCommandGroupID("")
	root.AddCommand(
		inGroup("setup", c.upCommand(), c.storeCommand(), c.linkCommand(), c.mailboxCommand(), c.configCommand(), c.keyCommand(), c.migrateCommand())...)
	root.AddCommand(inGroup("work", c.compareCommand(), c.syncCommand(), c.verifyCommand(), c.directoryCommand(), c.ledgerCommand(), c.guardCommand(),
		c.suspendCommand(), c.resumeCommand(), c.scheduleCommand())...)
	root.AddCommand(inGroup("look", c.statusCommand(), c.historyCommand(), c.errorsCommand(), c.auditCommand())...)
	root.AddCommand(c.versionCommand())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd, err} })
	root.SetIn(c.env.Stdin)
	root.SetOut(&c.out)
	root.SetErr(c.env.Stderr)
	// Cobra's own command answers an unknown shell with its help and success.
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			group(cmd)
		}
	}
	c.top = root
	plainUsage(root)
	// A command that holds others does nothing by itself, so its first usage
	// line would only repeat the second.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	return root
}

// plainUsage keeps "[flags]" out of the usage lines, which name what matters.
func plainUsage(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	for _, sub := range cmd.Commands() {
		plainUsage(sub)
	}
}

func inGroup(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	return commands
}

// group makes a command that only holds others: alone it shows its help, and
// with a word that is none of them it fails.
func group(cmd *cobra.Command, others ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(others...)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		message := "unknown command \"" + args[0] + "\""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			message += ", is " + strings.Join(near, " or ") + " meant?"
		}
		return &usageError{cmd, errors.New(message)}
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// onLink makes a command that takes so many arguments, of which the first names a link;
// no number of them is too high if high is negative. onStore, onNothing and plain are the
// same for one argument that names a store, for no arguments and for others.
func (c *cli) onLink(low, high int, cmd *cobra.Command) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = takes(low, high), c.linkNames(0)
	return cmd
}

func (c *cli) onStore(cmd *cobra.Command) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = takes(1, 1), c.storeNames(0)
	return cmd
}

func plain(low, high int, cmd *cobra.Command) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = takes(low, high), cobra.NoFileCompletions
	return cmd
}

func onNothing(cmd *cobra.Command) *cobra.Command { return plain(0, 0, cmd) }

// takes checks the number of arguments and names them in its error.
func takes(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low {
			return &usageError{cmd, errors.New("too few arguments")}
		}
		if high >= 0 && len(args) > high {
			return &usageError{cmd, errors.New("unexpected argument \"" + args[high] + "\"")}
		}
		return nil
	}
}

// work wraps what a command does: from here on an error is not one of usage.
func (c *cli) work(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.last = cmd
		return f(cmd, args)
	}
}

// withControl is work on the system.
func (c *cli) withControl(f func(ctx context.Context, ctl *control.Control, args []string) error) func(*cobra.Command, []string) error {
	return c.work(func(cmd *cobra.Command, args []string) error {
		cfg, err := c.settings()
		if err != nil {
			return err
		}
		backend, err := c.open(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer backend.Close()
		ctl := backend.Control().As(c.actor())
		return ctl.Explain(f(cmd.Context(), ctl, args))
	})
}

// asOne is withControl for a command about a link, or a store, that calls several changing
// methods: it has one row of the audit log, with what and the flags that were given.
func (c *cli) asOne(cmd *cobra.Command, what func() string, f func(ctx context.Context, ctl *control.Control, args []string) error) func(*cobra.Command, []string) error {
	return c.withControl(func(ctx context.Context, ctl *control.Control, args []string) (err error) {
		e := audit.Entry{Command: strings.TrimPrefix(cmd.CommandPath(), "mailmirror "), Link: args[0], Detail: flagsGiven(cmd)}
		if cmd.Parent().Name() == "store" {
			e.Link, e.Store = "", args[0]
		}
		if what != nil {
			e.Detail = strings.TrimSuffix(what()+", "+e.Detail, ", ")
		}
		ctx, end, err := ctl.Begin(ctx, e)
		if err != nil {
			return err
		}
		defer end(&err)
		return f(ctx, ctl, args)
	})
}

// answers is withControl for a command that asks for one thing and shows it.
func answers[T any](c *cli, ask func(ctx context.Context, ctl *control.Control, args []string) (T, error), write func(io.Writer, T)) func(*cobra.Command, []string) error {
	return c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
		answer, err := ask(ctx, ctl, args)
		if err != nil {
			return err
		}
		return c.show(answer, func(w io.Writer) { write(w, answer) })
	})
}

// lists is answers for a list, which JSON shows as [] where it is empty.
func lists[T any](c *cli, ask func(ctx context.Context, ctl *control.Control, args []string) ([]T, error), write func(io.Writer, []T)) func(*cobra.Command, []string) error {
	return answers(c, func(ctx context.Context, ctl *control.Control, args []string) ([]T, error) {
		items, err := ask(ctx, ctl, args)
		return list(items), err
	}, write)
}

// actor is who gives the command. The roles are all of them: who has the database's
// address and the key file can do all of this without the command.
func (c *cli) actor() audit.Actor {
	return audit.Actor{Name: cmp.Or(c.as, c.env.User), Roles: audit.AllRoles(), Way: audit.CLI}
}

// asFlag lets a command be recorded under another name.
func (c *cli) asFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.as, "as", "", "`name` for the record, instead of yours")
}

func (c *cli) open(ctx context.Context, cfg config.Config) (Backend, error) {
	log, err := c.logger(cfg)
	if err != nil {
		return nil, err
	}
	return c.env.Open(ctx, cfg, log)
}

func (c *cli) logger(cfg config.Config) (*slog.Logger, error) {
	return telemetry.NewLogger(c.env.Stderr, quiet(cfg.Log.Level), cfg.Log.Format)
}

// quiet keeps the ordinary course of things out of a command's output; who
// asks for debug wants all of it.
func quiet(level string) string {
	if level == "info" {
		return "warn"
	}
	return level
}

// settings loads and validates the configuration.
func (c *cli) settings() (config.Config, error) { return c.settingsBy(config.Config.Validate) }

func (c *cli) settingsBy(validate func(config.Config) error) (config.Config, error) {
	cfg, unread := c.load()
	// A setting that could not be read is at its default, which is valid, so
	// that no fault is reported twice.
	err := errors.Join(unread, validate(cfg))
	if err == nil {
		return cfg, nil
	}
	hint := "mend the settings and look at all of them with: mailmirror config check"
	if unread == nil && !cfg.Usable() {
		hint = "name the data directory of \"mailmirror up\" with --data DIR or $MAILMIRROR_DATA, or a PostgreSQL with --database"
	}
	return cfg, fault.New(fault.Config, "read settings", err, hint)
}

func (c *cli) load() (config.Config, error) {
	flags := map[string]config.FlagValue{}
	for key, flag := range map[string]string{"data_dir": "data", "database.dsn": "database", "temporal.address": "temporal"} {
		if f := c.top.PersistentFlags().Lookup(flag); f.Changed {
			flags[key] = config.FlagValue{Flag: "--" + flag, Value: f.Value.String()}
		}
	}
	return config.Load(config.Sources{File: c.file, LookupEnv: c.env.LookupEnv, Flags: flags})
}
