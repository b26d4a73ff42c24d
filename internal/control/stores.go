package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// DefaultSeparator is Dovecot's usual auth_master_user_separator.
const DefaultSeparator = "*"

// StoreEdit says what to change of a store; nil leaves a field as it is.
type StoreEdit struct {
	IMAPAddress    *string
	Security       *site.Security
	CAFile         *string
	Login          *site.Login
	Separator      *string
	TrustedName    *string
	Password       *seal.Secret
	Greetings      *mailbox.Patterns
	MinimumRelease *string
	MaxConnections *int
	MaxSessions    *int
	MaxListings    *int
	MaxLogins      *int
	Events         *site.ListenMode
	IdleLimit      *int
	PollEvery      *time.Duration
	LoginCase      *site.LoginCase
	ServerID       *string
}

// AddStore records a store and resolves its address; nothing is connected to. Empty fields of s get
// their defaults, and the store is returned as it was recorded.
func (c *Control) AddStore(ctx context.Context, s site.Store, password seal.Secret) (_ site.Store, err error) {
	op := "add store " + s.Name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "store add", Store: s.Name, Detail: s.IMAPAddress})
	if err != nil {
		return site.Store{}, err
	}
	defer end(&err)
	s = withDefaults(s)
	faults := storeFaults(s)
	if err := checkName("store", s.Name); err != nil {
		faults = append(faults, err)
	}
	if password.Empty() {
		faults = append(faults, errors.New("trusted password: must not be empty"))
	}
	if err := malformed(op, faults); err != nil {
		return site.Store{}, err
	}
	if s.SealedPassword, err = c.ports.Sealer.Seal(password, site.PasswordIdentity(s.Name)); err != nil {
		return site.Store{}, fault.Wrap(err, op)
	}
	s.Addresses = c.addresses(ctx, s.IMAPAddress)
	if err := c.ports.Stores.AddStore(ctx, s); err != nil {
		return site.Store{}, err
	}
	return c.ports.Stores.Store(ctx, s.Name)
}

// EditStore changes a store and returns it as it is now. A change that would make a
// link's two ends one server, or give a mailbox a second writer, is rejected.
func (c *Control) EditStore(ctx context.Context, name string, e StoreEdit) (_ site.Store, err error) {
	op := "edit store " + name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "store edit", Store: name, Detail: changes(StoreEdit{}, e)})
	if err != nil {
		return site.Store{}, err
	}
	defer end(&err)
	s, err := c.ports.Stores.Store(ctx, name)
	if err != nil {
		return site.Store{}, err
	}
	s = withDefaults(e.apply(s))
	faults := storeFaults(s)
	if e.Password != nil && e.Password.Empty() {
		faults = append(faults, errors.New("trusted password: must not be empty"))
	}
	if err := malformed(op, faults); err != nil {
		return site.Store{}, err
	}
	s.Addresses = c.addresses(ctx, s.IMAPAddress)
	if e.Password != nil {
		if s.SealedPassword, err = c.ports.Sealer.Seal(*e.Password, site.PasswordIdentity(s.Name)); err != nil {
			return site.Store{}, fault.Wrap(err, op)
		}
	}
	if err := c.ports.Stores.UpdateStore(ctx, s); err != nil {
		return site.Store{}, err
	}
	return c.ports.Stores.Store(ctx, name)
}

// Store returns one store.
func (c *Control) Store(ctx context.Context, name string) (site.Store, error) {
	return c.ports.Stores.Store(ctx, name)
}

// Stores lists the stores by name.
func (c *Control) Stores(ctx context.Context) ([]site.Store, error) {
	return c.ports.Stores.Stores(ctx)
}

// RemoveStore forgets a store that no link uses.
func (c *Control) RemoveStore(ctx context.Context, name string) (err error) {
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "store remove", Store: name})
	if err != nil {
		return err
	}
	defer end(&err)
	return c.ports.Stores.RemoveStore(ctx, name)
}

func (e StoreEdit) apply(s site.Store) site.Store {
	set(&s.IMAPAddress, e.IMAPAddress)
	set(&s.Security, e.Security)
	set(&s.CAFile, e.CAFile)
	set(&s.Login, e.Login)
	// A separator that the other kind of log-in left behind means nothing.
	if e.Login != nil && *e.Login == site.LoginAuthzid {
		s.Separator = ""
	}
	set(&s.Separator, e.Separator)
	set(&s.TrustedName, e.TrustedName)
	set(&s.Greetings, e.Greetings)
	set(&s.MinimumRelease, e.MinimumRelease)
	set(&s.MaxConnections, e.MaxConnections)
	set(&s.MaxSessions, e.MaxSessions)
	set(&s.MaxListings, e.MaxListings)
	set(&s.MaxLogins, e.MaxLogins)
	set(&s.Events, e.Events)
	set(&s.IdleLimit, e.IdleLimit)
	set(&s.PollEvery, e.PollEvery)
	set(&s.LoginCase, e.LoginCase)
	set(&s.ServerID, e.ServerID)
	return s
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func withDefaults(s site.Store) site.Store {
	if len(s.Greetings) == 0 {
		s.Greetings = mailbox.DefaultGreetings
	}
	if s.Login == site.LoginSeparator && s.Separator == "" {
		s.Separator = DefaultSeparator
	}
	s.LoginCase = cmp.Or(s.LoginCase, site.LoginFold)
	s.Events = cmp.Or(s.Events, site.ListenAuto)
	s.IdleLimit = cmp.Or(s.IdleLimit, DefaultIdleLimit)
	s.PollEvery = cmp.Or(s.PollEvery, DefaultPollEvery)
	return s
}

// storeFaults lists everything that cannot be right in a store's settings.
func storeFaults(s site.Store) []error {
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	note(checkAddress(s.IMAPAddress))
	switch s.Security {
	case site.SecurityNone, site.SecurityStartTLS, site.SecurityTLS:
	default:
		note(fmt.Errorf("imap security %q: want none, starttls or tls", s.Security))
	}
	if s.Security == site.SecurityNone && s.CAFile != "" {
		note(errors.New("ca file: has no meaning with imap security none"))
	}
	note(checkTrustedName(s.TrustedName))
	switch s.Login {
	case site.LoginAuthzid:
		if s.Separator != "" {
			note(errors.New("separator: has no meaning with login authzid"))
		}
	case site.LoginSeparator:
		if len(s.Separator) != 1 || s.Separator[0] <= ' ' || s.Separator[0] > '~' {
			note(fmt.Errorf("separator %q: want one printable character", s.Separator))
		} else if strings.Contains(s.TrustedName, s.Separator) {
			note(fmt.Errorf("trusted name: must not hold the separator %q", s.Separator))
		}
	default:
		note(fmt.Errorf("login %q: want authzid or separator", s.Login))
	}
	if s.LoginCase != site.LoginFold && s.LoginCase != site.LoginExact {
		note(fmt.Errorf("login case %q: must be fold or exact", s.LoginCase))
	}
	note(checkServerID(s.ServerID))
	note(s.Greetings.Validate())
	note(checkRelease(s.MinimumRelease))
	if s.MaxConnections < 0 {
		note(fmt.Errorf("max connections %d: want 0, for no bound, or more", s.MaxConnections))
	}
	for _, bound := range []struct {
		name  string
		value int
	}{{"sessions", s.MaxSessions}, {"listings", s.MaxListings}, {"logins", s.MaxLogins}} {
		if bound.value < 0 {
			note(fmt.Errorf("max %s %d: want 0, for the default, or more", bound.name, bound.value))
		}
	}
	return append(faults, eventFaults(s)...)
}

// eachOtherEnd calls check with every link that a store is an end of and with the
// store at the other end, until it returns an error.
func (c *Control) eachOtherEnd(ctx context.Context, store string, check func(link, other string) error) error {
	links, err := c.ports.Links.Links(ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		switch store {
		case l.Source:
			err = check(l.Name, l.Target)
		case l.Target:
			err = check(l.Name, l.Source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
