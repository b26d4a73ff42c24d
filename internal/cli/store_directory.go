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

	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// ldapFlags are the settings of a store's directory on the command line.
type ldapFlags struct {
	address, ldapSecurity, ldapCAFile, bindDN, ldapPasswordFile string
	base, objectClass, filter, mapping                          string
	none                                                        bool
}

func (f *ldapFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.address, "ldap", "", "LDAP `HOST:PORT` of the store's directory, where it is to be mirrored too")
	s.Var(choice(&f.ldapSecurity, "none", "starttls", "tls"), "ldap-security", "how that connection is protected: none, starttls or tls")
	s.StringVar(&f.ldapCAFile, "ldap-ca-file", "", "PEM `file` of the CA, where the system does not know it")
	s.StringVar(&f.bindDN, "ldap-bind-dn", "", "`DN` as which the trusted server binds")
	s.StringVar(&f.ldapPasswordFile, "ldap-password-file", "", "`file` with the password for it; - reads standard input")
	s.StringVar(&f.base, "ldap-base", "", "`DN` below which mailboxes are")
	s.StringVar(&f.objectClass, "ldap-object-class", "", "object `class` of mailboxes (default \""+directory.DefaultMapping().ObjectClass+"\")")
	s.StringVar(&f.filter, "ldap-filter", "", "`filter` that entries of mailboxes have to pass besides, such as (!(status=closed))")
	s.StringVar(&f.mapping, "ldap-mapping", "", "TOML `file` with the names of attributes and the like, where they are others")
	if cmd.Name() == "edit" {
		s.BoolVar(&f.none, "no-ldap", false, "forget the directory: it is not mirrored any more")
		cmd.MarkFlagsMutuallyExclusive("no-ldap", "ldap")
	}
	_ = cmd.RegisterFlagCompletionFunc("ldap-security", fixed("none", "starttls", "tls"))
	_ = cmd.MarkFlagFilename("ldap-ca-file", "pem", "crt")
	_ = cmd.MarkFlagFilename("ldap-password-file")
	_ = cmd.MarkFlagFilename("ldap-mapping", "toml")
}

// directoryEdits takes over the flags that were given. A mapping file is read
// over the mapping in force.
func (c *cli) directoryEdits(cmd *cobra.Command, f ldapFlags, base directory.Mapping) (control.DirectoryEdit, error) {
	var e control.DirectoryEdit
	give(cmd, "ldap", &e.Address, f.address)
	give(cmd, "ldap-security", &e.Security, site.Security(f.ldapSecurity))
	give(cmd, "ldap-bind-dn", &e.BindDN, f.bindDN)
	give(cmd, "ldap-base", &e.BaseDN, f.base)
	give(cmd, "ldap-object-class", &e.ObjectClass, f.objectClass)
	give(cmd, "ldap-filter", &e.Filter, f.filter)
	given := cmd.Flags().Changed
	if given("ldap-password-file") && f.ldapPasswordFile == "-" && f.passwordOnStdin(cmd) {
		return e, fault.New(fault.Config, "read passwords", errors.New("standard input holds one of them"), "put the other into a file")
	}
	if err := c.giveFiles(cmd, "ldap-ca-file", f.ldapCAFile, &e.CAFile, "ldap-password-file", f.ldapPasswordFile, &e.Password); err != nil {
		return e, err
	}
	if given("ldap-mapping") {
		m, err := config.LoadMapping(f.mapping, base)
		if err != nil {
			return e, fault.New(fault.Config, "read mapping "+f.mapping, err, "")
		}
		e.Mapping = &m
	}
	return e, nil
}

func (f *ldapFlags) passwordOnStdin(cmd *cobra.Command) bool {
	other := cmd.Flags().Lookup("trusted-password-file")
	return other != nil && other.Value.String() == "-"
}

// mappingOf is the mapping in force of a store, which may have none yet.
func mappingOf(ctx context.Context, ctl *control.Control, store string) (directory.Mapping, error) {
	d, has, err := ctl.Directory(ctx, store)
	if err != nil || !has {
		return directory.DefaultMapping(), err
	}
	return d.Mapping, nil
}

// storeShown is a store with its directory.
type storeShown struct {
	site.Store
	Directory *site.Directory `json:"directory,omitempty"`
	// Load has the bounds of the load with their defaults.
	Load control.StoreLoad `json:"load"`
}

func (c *cli) storeShown(ctx context.Context, ctl *control.Control, s site.Store) (storeShown, error) {
	shown := storeShown{Store: s}
	d, has, err := ctl.Directory(ctx, s.Name)
	if has {
		shown.Directory = &d
	}
	if err != nil {
		return shown, err
	}
	shown.Load, err = ctl.StoreLoad(ctx, s)
	return shown, err
}

// storeSaved changes the directory of a store that was saved, and tells.
func (c *cli) storeSaved(ctx context.Context, ctl *control.Control, s site.Store, dir control.DirectoryEdit, what string) error {
	if !dir.Empty() {
		if _, err := ctl.EditDirectory(ctx, s.Name, dir); err != nil {
			return err
		}
	}
	shown, err := c.storeShown(ctx, ctl, s)
	if err != nil {
		return err
	}
	if site.PlainPassword(s) {
		c.warn("store %s: the trusted server's password crosses the network in clear; use --imap-security tls or starttls", s.Name)
	}
	if shown.Directory != nil && site.PlainDirectoryPassword(*shown.Directory) {
		c.warn("store %s: the passwords of all mailboxes cross the network in clear; use --ldap-security tls or starttls", s.Name)
	}
	return c.show(shown, func(io.Writer) { c.say("store %s %s", s.Name, what) })
}

func (c *cli) writeDirectoryStore(w io.Writer, d site.Directory) {
	m := d.Mapping
	names := []string{}
	for _, a := range directory.Attributes() {
		if name := m.Names[a.Column]; name != "" {
			names = append(names, string(a.Column)+"="+name)
		}
	}
	needs := []string{}
	for name, values := range m.Needs {
		needs = append(needs, name+"="+strings.Join(values, ", "))
	}
	slices.Sort(needs)
	fmt.Fprintln(w)
	pairs(w, "ldap", d.Address, "ldap security", d.Security, "ldap ca file", d.CAFile, "bind dn", d.BindDN,
		"base dn", m.BaseDN, "scope", m.Scope, "object class", m.ObjectClass, "filter", m.Filter,
		"attributes", strings.Join(names, " "), "rdn", m.RDN, "login", m.Login,
		"new entries are", strings.Join(m.NewClasses, " "), "and need", strings.Join(needs, "; "),
		"protected", strings.Join(m.Protected, " "), "changed", c.moment(d.UpdatedAt))
}

// writeDirectoryReport reports whether the directory can be mirrored.
func (c *cli) writeDirectoryReport(w io.Writer, r verdict.Directory) bool {
	entries := counted(r.Entries, "mailbox")
	if r.AtLeast {
		entries += " at least"
	}
	fmt.Fprintln(w)
	pairs(w, "directory", r.Address, "server", strings.TrimSpace(r.Server+" "+r.Release), "encryption", cmp.Or(r.TLS, "none"),
		"certificate until", c.expiry(r.CertificateExpires), "holds", entries, "may write", strings.Join(r.Writable, ", "),
		"tried on", r.TriedOn)
	for _, f := range r.Faults {
		fmt.Fprintf(w, "fault: %s\n", clean(f))
	}
	for _, a := range r.Advice {
		fmt.Fprintln(w, clean(a))
	}
	return len(r.Faults) == 0
}
