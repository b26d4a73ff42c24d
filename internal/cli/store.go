package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/directory"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

func (c *cli) storeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "store",
		Short: "Message stores: add, check, list, show, edit, remove",
	}, c.storeAdd(), c.storeCheck(), c.storeList(), c.storeShow(), c.storeEdit(), c.storeRemove())
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
	s.Var(choice(&f.security, "none", "starttls", "tls"), "imap-security", "how the connection is protected: none, starttls or tls")
	s.StringVar(&f.caFile, "ca-file", "", "PEM `file` of the CA, where the system does not know it")
	s.Var(choice(&f.login, "authzid", "separator"), "login", "how the trusted server names a mailbox: authzid (SASL PLAIN) or separator (mailbox*trusted)")
	s.StringVar(&f.separator, "separator", "", "`character` between mailbox and trusted name (default \"*\" with --login separator)")
	s.StringVar(&f.trustedName, "trusted-name", "", "`name` of the trusted server")
	s.StringVar(&f.passwordFile, "trusted-password-file", "", "`file` with its password; - reads standard input")
	s.StringArrayVar(&f.greetings, "greetings", nil, "folder `pattern` of greetings, may be repeated (default \"Greetings\")")
	s.StringVar(&f.minimum, "minimum-release", "", "oldest `release` of the server that is accepted")
	f.loadFlags.register(cmd)
	s.Var(choice(&f.loginCase, "fold", "exact"), "login-case", "whether logins that differ only in their case are one account (fold, the default) or two (exact)")
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
	cmd := plain(1, 1, &cobra.Command{
		Use:   "add NAME --imap HOST:PORT --imap-security none|starttls|tls --login authzid|separator --trusted-name NAME --trusted-password-file FILE",
		Short: "Register a message store (does not connect to it)",
		Long: `Records a message store. The command does not connect to the store. When a worker
runs, let it look at the store with "store check".`,
		Example: `  mailmirror store add prod --imap mail.example.org:993 --imap-security tls \
      --login authzid --trusted-name mirror --trusted-password-file /run/secrets/prod`,
	})
	cmd.RunE = c.asOne(cmd, func() string { return f.imap }, func(ctx context.Context, ctl *control.Control, args []string) error {
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
	cmd := c.onStore(&cobra.Command{
		Use:   "edit NAME [flags]",
		Short: "Change settings of a store; what is not given stays",
		Long: `Changes the settings of a store. The command does not connect to the store: let a
worker look at it with "store check".`,
	})
	f.register(cmd)
	needsFlag(cmd, "nothing to change is given")
	cmd.RunE = c.asOne(cmd, nil, func(ctx context.Context, ctl *control.Control, args []string) error {
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

// storeEdits takes over the flags that were given.
func (c *cli) storeEdits(cmd *cobra.Command, f storeFlags) (control.StoreEdit, error) {
	var e control.StoreEdit
	give(cmd, "imap", &e.IMAPAddress, f.imap)
	give(cmd, "imap-security", &e.Security, site.Security(f.security))
	give(cmd, "login", &e.Login, site.Login(f.login))
	give(cmd, "separator", &e.Separator, f.separator)
	give(cmd, "trusted-name", &e.TrustedName, f.trustedName)
	give(cmd, "greetings", &e.Greetings, mailbox.Patterns(f.greetings))
	give(cmd, "minimum-release", &e.MinimumRelease, f.minimum)
	give(cmd, "max-connections", &e.MaxConnections, f.maxConnections)
	give(cmd, "max-sessions", &e.MaxSessions, f.maxSessions)
	give(cmd, "max-listings", &e.MaxListings, f.maxListings)
	give(cmd, "max-logins", &e.MaxLogins, f.maxLogins)
	give(cmd, "events", &e.Events, site.ListenMode(f.events))
	give(cmd, "max-idle", &e.IdleLimit, f.maxIdle)
	give(cmd, "poll-every", &e.PollEvery, f.pollEvery)
	give(cmd, "login-case", &e.LoginCase, site.LoginCase(f.loginCase))
	give(cmd, "server-id", &e.ServerID, f.serverID)
	return e, c.giveFiles(cmd, "ca-file", f.caFile, &e.CAFile, "trusted-password-file", f.passwordFile, &e.Password)
}

// giveFiles is give for the file of a CA and the file of a password.
func (c *cli) giveFiles(cmd *cobra.Command, caFlag, caFile string, ca **string, passwordFlag, passwordFile string, password **seal.Secret) error {
	if cmd.Flags().Changed(caFlag) {
		path, err := absolute(caFile)
		if err != nil {
			return err
		}
		*ca = &path
	}
	if cmd.Flags().Changed(passwordFlag) {
		secret, err := c.readPassword(passwordFile)
		if err != nil {
			return err
		}
		*password = &secret
	}
	return nil
}

func (c *cli) storeCheck() *cobra.Command {
	var number string
	cmd := c.onStore(&cobra.Command{
		Use:   "check NAME [--mailbox NUMBER]",
		Short: "Have a worker connect, log in and say what the store can do",
		Long: `A worker connects to the store, logs in as the trusted server and reports what it
found. Use it after "store add" and after each change of a store or its server.
With --mailbox the worker also acts for that mailbox, as mirroring does: if the
trusted server may log in but may not act for others, only this shows it. If the
store is a link's target and has a directory, the worker tries on a few entries which
attributes may be written, and changes nothing. Whether entries may be created and
deleted, the first run shows.`,
		Example: `  mailmirror store check prod --mailbox 1001`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			r, err := ctl.CheckStore(ctx, args[0], mailbox.Number(number), waiting[verdict.StoreRun](silent{c}, nil))
			if err != nil {
				return interrupted(ctx, err, "check", "wait for it again with the same command")
			}
			r.Capabilities, r.Advice = list(r.Capabilities), list(r.Advice)
			return c.showOutcome(r, func(w io.Writer) { c.writeReport(w, r) }, r.Directory != nil && len(r.Directory.Faults) > 0, false)
		}),
	})
	cmd.Flags().StringVar(&number, "mailbox", "", "act for the mailbox of this `number`")
	return cmd
}

func (c *cli) writeReport(w io.Writer, r verdict.Store) {
	server := strings.TrimSpace(r.Server + " " + r.Release)
	if r.MinimumRelease != "" {
		server += " (at least " + r.MinimumRelease + " is wanted)"
	}
	overview := "no: mailboxes are reviewed one log-in at a time"
	if r.Overview != "" {
		overview = "yes, below " + r.Overview + ": one command reviews hundreds of mailboxes"
	}
	holds := ""
	if r.Mailbox != "" {
		holds = fmt.Sprintf("%s: %s, %s, %s", r.Mailbox, counted(r.Folders, "folder"),
			counted(int(r.Messages), "message"), counted(int(r.Greetings), "greeting"))
	}
	pairs(w,
		"store", r.Store+" ("+r.Address+")",
		"server", server,
		"encryption", cmp.Or(r.TLS, "none"),
		"certificate until", c.expiry(r.CertificateExpires),
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

// expiry shows when a certificate expires; "" if there is none.
func (c *cli) expiry(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return c.moment(t) + " (in " + span(t.Sub(c.env.Now())) + ")"
}

func (c *cli) storeList() *cobra.Command {
	return onNothing(&cobra.Command{
		Use:   "list",
		Short: "List the stores",
		RunE: lists(c, func(ctx context.Context, ctl *control.Control, _ []string) ([]site.Store, error) {
			return ctl.Stores(ctx)
		}, func(w io.Writer, stores []site.Store) {
			if len(stores) == 0 {
				c.say("no stores yet; add one with: mailmirror store add")
				return
			}
			t := c.newTable("NAME", "IMAP", "SECURITY", "LOGIN", "TRUSTED NAME", "GREETINGS")
			for _, s := range stores {
				t.row(s.Name, s.IMAPAddress, s.Security, s.Login, s.TrustedName, strings.Join(s.Greetings, ", "))
			}
			t.write(w)
		}),
	})
}

func (c *cli) storeShow() *cobra.Command {
	return c.onStore(&cobra.Command{
		Use:   "show NAME",
		Short: "Show the settings of a store, without its password",
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
	})
}

func (c *cli) storeRemove() *cobra.Command {
	return c.onStore(&cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a store that no link uses",
		RunE:  c.removes("store", (*control.Control).RemoveStore),
	})
}
