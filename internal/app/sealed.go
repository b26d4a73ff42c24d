package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// enterAgain is how the passwords of a store are entered again.
const enterAgain = "mailmirror store edit NAME --trusted-password-file FILE, and --ldap-password-file FILE if it has a directory"

// sealedPassword is a password of the database, as it is stored.
type sealedPassword struct {
	store string
	// directory is true for the password of the store's directory.
	directory bool
	sealed    []byte
}

func (p sealedPassword) identity() string {
	if p.directory {
		return site.DirectoryPasswordIdentity(p.store)
	}
	return site.PasswordIdentity(p.store)
}

// name is what an operator calls the password.
func (p sealedPassword) name() string {
	if p.directory {
		return "the password of the directory of store " + p.store
	}
	return "the password of store " + p.store
}

// enter is the command that enters the password again.
func (p sealedPassword) enter() string {
	if p.directory {
		return "mailmirror store edit " + p.store + " --ldap-password-file FILE"
	}
	return "mailmirror store edit " + p.store + " --trusted-password-file FILE"
}

// open opens the password. The error says what to do.
func (p sealedPassword) open(keys *seal.Ring) (seal.Secret, error) {
	if err := keys.Missing(); err != nil {
		return seal.Secret{}, err
	}
	secret, err := keys.Open(p.sealed, p.identity())
	if err != nil {
		return secret, fault.New(fault.Config, "open "+p.name(), err, lostKeyHint+p.enter())
	}
	return secret, nil
}

// lostKeyHint says what to do about passwords that no key of the key file opens; the
// commands follow.
const lostKeyHint = "restore the key file with which it was entered, and start Mailmirror again; if that file is lost, enter the password again: "

// sealedStores is what is needed of the database to open its passwords.
type sealedStores interface {
	Stores(ctx context.Context) ([]site.Store, error)
	DirectoryStore(ctx context.Context, store string) (site.Directory, bool, error)
}

// passwords are those of the database, with the keys that are to open them.
type passwords struct {
	repo sealedStores
	keys *seal.Ring
	// locked is what the last check found.
	locked error
}

// check opens every password of the database. A Config fault names those that the
// key file does not open: it belongs to another installation, or was made anew. Their
// stores fail; a worker serves the others, and all once the passwords were entered
// again. Any other error is the database's.
func (p *passwords) check(ctx context.Context) (locked error, err error) {
	stores, err := p.repo.Stores(ctx)
	if err != nil {
		return nil, err
	}
	var names, commands []string
	var first error
	try := func(password sealedPassword) {
		_, err := password.open(p.keys)
		if err == nil {
			return
		}
		names, commands = append(names, strings.TrimPrefix(password.name(), "the password of ")), append(commands, password.enter())
		if first == nil {
			first = errors.Unwrap(err)
		}
	}
	for _, s := range stores {
		try(sealedPassword{store: s.Name, sealed: s.SealedPassword})
		d, has, err := p.repo.DirectoryStore(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		if has {
			try(sealedPassword{store: s.Name, directory: true, sealed: d.SealedPassword})
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return fault.New(fault.Config, "the key file does not open the password of "+strings.Join(names, ", of "), first,
		lostKeyHint+strings.Join(commands, "; ")), nil
}

// checkLimit bounds a look at the passwords.
const checkLimit = 10 * time.Second

// failing implements supervise.Own: it returns which passwords the key file does not
// open. That does not pass by itself, so that it is shown at once: since is zero. If the
// database does not answer, the last answer holds.
func (p *passwords) failing() (since time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	if locked, err := p.check(ctx); err == nil {
		p.locked = locked
	}
	return time.Time{}, p.locked
}

// start looks for passwords that the key file does not open when a worker starts, and
// logs them. The error is one with which the worker cannot work.
func (p *passwords) start(ctx context.Context, log *slog.Logger) error {
	if err := p.keys.Missing(); err != nil {
		return err
	}
	locked, err := p.check(ctx)
	if err != nil || locked == nil {
		return err
	}
	log.ErrorContext(ctx, "passwords of the database cannot be opened, their stores are not mirrored",
		"error", fmt.Sprint(locked), "hint", fault.HintOf(locked))
	return nil
}
