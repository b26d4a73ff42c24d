package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailmirror/internal/control"
	"mailmirror/internal/directory"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

func (c *cli) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Message stores: add, check, list, show, edit, remove",
	}
	group(cmd)
	cmd.AddCommand(c.storeAdd(), c.storeCheck(), c.storeList(), c.storeShow(), c.storeEdit(), c.storeRemove())
	return cmd
}

// storeFlags are the settings of a store on the command line.
type storeFlags struct {
	imap, security, caFile, login, separator string
	trustedName, passwordFile, minimum       string
	greetings                                []string
	loadFlags
	loginCase, serverID string
	eventFlags
	ldapFlags
}

func (f *storeFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.imap, "imap", "", "IMAP `HOST:PORT`")
	s.Var(choice(&f.security, "", "none", "starttls", "tls"), "imap-security", "how the connection is protected: none, starttls or tls")
	s.StringVar(&f.caFile, "ca-file", "", "PEM `file` of the CA, where the system does not know it")
	s.Var(choice(&f.login, "", "authzid", "separator"), "login", "how the trusted server names a mailbox: authzid (SASL PLAIN) or separator (mailbox*trusted)")
	s.StringVar(&f.separator, "separator", "", "`character` between mailbox and trusted name (default \"*\" with --login separator)")
	s.StringVar(&f.trustedName, "trusted-name", "", "`name` of the trusted server")
	s.StringVar(&f.passwordFile, "trusted-password-file", "", "`file` with its password; - reads standard input")
	s.StringArrayVar(&f.greetings, "greetings", nil, "folder `pattern` of greetings, may be repeated (default \"Greetings\")")
	s.StringVar(&f.minimum, "minimum-release", "", "oldest `release` of the server that is accepted")
	f.loadFlags.register(cmd)
	s.Var(choice(&f.loginCase, "", "fold", "exact"), "login-case", "whether logins that differ only in their case are one account (fold, the default) or two (exact)")
	s.StringVar(&f.serverID, "server-id", "", "`id` of the server; stores with different ids are different servers, stores with the same id are one")
	f.eventFlags.register(cmd)
	f.ldapFlags.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("imap-security", fixed("none", "starttls", "tls"))
	_ = cmd.RegisterFlagCompletionFunc("login", fixed("authzid", "separator"))
	_ = cmd.MarkFlagFilename("ca-file", "pem", "crt")
	_ = cmd.MarkFlagFilename("trusted-password-file")
}

func (c *cli) storeAdd() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:   "add NAME --imap HOST:PORT --imap-security none|starttls|tls --login authzid|separator --trusted-name NAME --trusted-password-file FILE",
		Short: "Register a message store (does not connect to it)",
		Long: `Records a message store. The command does not connect to the store. When a worker
runs, let it look at the store with "store check".`,
		Example: `  mailmirror store add prod --imap mail.example.org:993 --imap-security tls \
      --login authzid --trusted-name mirror --trusted-password-file /run/secrets/prod`,
		Args:              takes(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
		caFile, err := absolute(f.caFile)
		if err != nil {
			return err
		}
		password, err := c.readPassword(f.passwordFile)
		if err != nil {
			return err
		}
		dir, err := c.directoryEdits(cmd, f.ldapFlags, directory.DefaultMapping())
		if err == nil && !dir.Empty() {
			err = control.CheckDirectoryEdit(args[0], dir)
		}
		if err != nil {
			return err
		}
		s, err := ctl.AddStore(ctx, site.Store{
			Name: args[0], IMAPAddress: f.imap, Security: site.Security(f.security), CAFile: caFile,
			Login: site.Login(f.login), Separator: f.separator, TrustedName: f.trustedName,
			Greetings: f.greetings, MinimumRelease: f.minimum, MaxConnections: f.maxConnections,
			MaxSessions: f.maxSessions, MaxListings: f.maxListings, MaxLogins: f.maxLogins,
			LoginCase: site.LoginCase(f.loginCase), ServerID: f.serverID,
			Events: site.ListenMode(f.events), IdleLimit: f.maxIdle, PollEvery: f.pollEvery,
		}, password)
		if err != nil {
			return err
		}
		return c.storeSaved(ctx, ctl, s, dir, "added; look at it with: mailmirror store check "+s.Name)
	})
	f.register(cmd)
	for _, name := range []string{"imap", "imap-security", "login", "trusted-name", "trusted-password-file"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (c *cli) storeEdit() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:   "edit NAME [flags]",
		Short: "Change settings of a store; what is not given stays",
		Long: `Changes the settings of a store. The command does not connect to the store: let a
worker look at it with "store check".`,
		Args:              takes(1, 1),
		ValidArgsFunction: c.storeNames(0),
	}
	f.register(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		changes := 0
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Changed {
				changes++
			}
		})
		if changes == 0 {
			return &usageError{cmd, errors.New("nothing to change is given")}
		}
		return nil
	}
	cmd.RunE = c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
		edit, err := c.storeEdits(cmd, f)
		if err != nil {
			return err
		}
		mapping, err := mappingOf(ctx, ctl, args[0])
		if err != nil {
			return err
		}
		dir, err := c.directoryEdits(cmd, f.ldapFlags, mapping)
		if err != nil {
			return err
		}
		s, err := ctl.EditStore(ctx, args[0], edit)
		if err != nil {
			return err
		}
		if f.none {
			if err := ctl.RemoveDirectory(ctx, args[0]); err != nil {
				return err
			}
		}
		return c.storeSaved(ctx, ctl, s, dir, "changed; look at it with: mailmirror store check "+s.Name)
	})
	return cmd
}

// storeEdits takes over the flags that were given, among them those given as
// empty, which clear a setting.
func (c *cli) storeEdits(cmd *cobra.Command, f storeFlags) (control.StoreEdit, error) {
	var e control.StoreEdit
	given := cmd.Flags().Changed
	if given("imap") {
		e.IMAPAddress = &f.imap
	}
	if given("imap-security") {
		e.Security = new(site.Security(f.security))
	}
	if given("ca-file") {
		path, err := absolute(f.caFile)
		if err != nil {
			return e, err
		}
		e.CAFile = &path
	}
	if given("login") {
		e.Login = new(site.Login(f.login))
	}
	if given("separator") {
		e.Separator = &f.separator
	}
	if given("trusted-name") {
		e.TrustedName = &f.trustedName
	}
	if given("trusted-password-file") {
		password, err := c.readPassword(f.passwordFile)
		if err != nil {
			return e, err
		}
		e.Password = &password
	}
	if given("greetings") {
		e.Greetings = new(mailbox.Patterns(f.greetings))
	}
	if given("minimum-release") {
		e.MinimumRelease = &f.minimum
	}
	f.loadFlags.edits(given, &e)
	f.eventFlags.edits(given, &e)
	if given("login-case") {
		e.LoginCase = new(site.LoginCase(f.loginCase))
	}
	if given("server-id") {
		e.ServerID = &f.serverID
	}
	return e, nil
}

func (c *cli) storeCheck() *cobra.Command {
	var number string
	cmd := &cobra.Command{
		Use:   "check NAME [--mailbox NUMBER]",
		Short: "Have a worker connect, log in and say what the store can do",
		Long: `A worker connects to the store, logs in as the trusted server and reports what it
found. Use it after "store add" and after each change of a store or its server.
With --mailbox the worker also acts for that mailbox, as mirroring does: if the
trusted server may log in but may not act for others, only this shows it. If the
store is a link's target and has a directory, the worker tries on a few entries which
attributes may be written, and changes nothing. Whether entries may be created and
deleted, the first run shows.`,
		Example:           `  mailmirror store check prod --mailbox 1001`,
		Args:              takes(1, 1),
		ValidArgsFunction: c.storeNames(0),
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			r, err := ctl.CheckStore(ctx, args[0], mailbox.Number(number), waiting[verdict.StoreRun](silent{c}, nil))
			if err != nil {
				return err
			}
			r.Capabilities, r.Advice = list(r.Capabilities), list(r.Advice)
			if err := c.show(r, func(w io.Writer) { c.writeReport(w, r) }); err != nil {
				return err
			}
			if r.Directory != nil && len(r.Directory.Faults) > 0 {
				return outcome(exitFailed)
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&number, "mailbox", "", "act for the mailbox of this `number`")
	return cmd
}

func (c *cli) writeReport(w io.Writer, r verdict.Store) {
	server := strings.TrimSpace(r.Server + " " + r.Release)
	if r.MinimumRelease != "" {
		server += " (at least " + r.MinimumRelease + " is wanted)"
	}
	expires := ""
	if !r.CertificateExpires.IsZero() {
		expires = c.moment(r.CertificateExpires) + " (in " + span(r.CertificateExpires.Sub(c.env.Now())) + ")"
	}
	overview := "no: mailboxes are reviewed one log-in at a time"
	if r.Overview != "" {
		overview = "yes, below " + r.Overview + ": one command reviews hundreds of mailboxes"
	}
	encryption := r.TLS
	if encryption == "" {
		encryption = "none"
	}
	holds := ""
	if r.Mailbox != "" {
		holds = fmt.Sprintf("%s: %s, %s, %s", r.Mailbox, counted(r.Folders, "folder"),
			counted(int(r.Messages), "message"), counted(int(r.Greetings), "greeting"))
	}
	pairs(w,
		"store", r.Store+" ("+r.Address+")",
		"server", server,
		"encryption", encryption,
		"certificate until", expires,
		"connect", span(r.Connect),
		"log in", span(r.LoginTime),
		"round trip", span(r.RoundTrip),
		"namespace", fmt.Sprintf("prefix %q, separator %q", r.Prefix, r.Separator),
		"shared namespace", overview,
		"load", strings.Join(r.Load, "; "),
		"events", eventsLine(r.Events, r.EventsWhy),
		"mailbox", holds,
		"capabilities", strings.Join(r.Capabilities, " "),
	)
	for _, u := range r.Undetermined {
		fmt.Fprintln(w, clean(u))
	}
	for _, a := range r.Advice {
		if a.Missing == "" {
			fmt.Fprintln(w, clean(a.Effect))
			continue
		}
		fmt.Fprintf(w, "without %s: %s\n", clean(a.Missing), clean(a.Effect))
	}
	if r.Directory != nil && !c.writeDirectoryReport(w, *r.Directory) {
		return
	}
	fmt.Fprintln(w, "ok")
}

func (c *cli) storeList() *cobra.Command {
	return &cobra.Command{
		Use:               "list",
		Short:             "List the stores",
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, _ []string) error {
			stores, err := ctl.Stores(ctx)
			if err != nil {
				return err
			}
			return c.show(list(stores), func(w io.Writer) {
				if len(stores) == 0 {
					c.say("no stores yet; add one with: mailmirror store add")
					return
				}
				t := c.newTable("NAME", "IMAP", "SECURITY", "LOGIN", "TRUSTED NAME", "GREETINGS")
				for _, s := range stores {
					t.row(s.Name, s.IMAPAddress, s.Security, s.Login, s.TrustedName, strings.Join(s.Greetings, ", "))
				}
				t.write(w)
			})
		}),
	}
}

func (c *cli) storeShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show the settings of a store, without its password",
		Args:              takes(1, 1),
		ValidArgsFunction: c.storeNames(0),
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			s, err := ctl.Store(ctx, args[0])
			if err != nil {
				return err
			}
			shown, err := c.storeShown(ctx, ctl, s)
			if err != nil {
				return err
			}
			return c.show(shown, func(w io.Writer) {
				pairs(w, slices.Concat([]any{
					"name", s.Name, "imap", s.IMAPAddress, "imap security", s.Security, "ca file", s.CAFile,
					"login", s.Login, "separator", s.Separator, "trusted name", s.TrustedName, "login case", s.LoginCase,
					"server id", cmp.Or(s.ServerID, s.ReportedID), "server addresses", strings.Join(s.Addresses, ", "),
					"greetings", strings.Join(s.Greetings, ", "), "minimum release", s.MinimumRelease,
				}, c.loadPairs(s, shown.Load), []any{
					"events", s.Events, "max idle", s.IdleLimit, "poll every", span(s.PollEvery),
					"added", c.moment(s.CreatedAt), "changed", c.moment(s.UpdatedAt),
				})...)
				if shown.Directory != nil {
					c.writeDirectoryStore(w, *shown.Directory)
				}
			})
		}),
	}
}

func (c *cli) storeRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Forget a store that no link uses",
		Args:              takes(1, 1),
		ValidArgsFunction: c.storeNames(0),
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if err := ctl.RemoveStore(ctx, args[0]); err != nil {
				return err
			}
			return c.show(map[string]string{"removed": args[0]}, func(io.Writer) { c.say("store %s removed", args[0]) })
		}),
	}
}
