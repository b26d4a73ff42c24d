package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mailmirror/internal/config"
	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
	"mailmirror/internal/stack"
	"mailmirror/internal/temporalclient"
)

// places is where the parts of an installation are: what the configuration
// says, and for the rest what the stack of the data directory has.
type places struct {
	dsn      string
	temporal temporalclient.Options
	keyFile  string
	// ownKey is true where the key file belongs to the data directory, which
	// makes it at its first use.
	ownKey bool
}

func findPlaces(cfg config.Config) (places, error) {
	var p places
	var err error
	if p.dsn, err = cfg.DatabaseDSN(); err != nil {
		return p, fault.New(fault.Config, "read settings", err, "")
	}
	if p.temporal, err = temporalOptions(cfg); err != nil {
		return p, err
	}
	p.keyFile = cfg.KeyFile
	if cfg.DataDir == "" {
		return p, nil
	}
	info, err := stack.Load(cfg.DataDir)
	if err != nil {
		return p, err
	}
	p.dsn = cmp.Or(p.dsn, info.DatabaseDSN)
	p.temporal.Local = p.temporal.Address == "" && !info.TemporalExternal
	p.temporal.Address = cmp.Or(p.temporal.Address, info.TemporalAddress)
	p.temporal.Namespace = cmp.Or(p.temporal.Namespace, info.TemporalNamespace)
	if p.keyFile == "" {
		p.keyFile, p.ownKey = info.KeyFile, true
	}
	return p, nil
}

func temporalOptions(cfg config.Config) (temporalclient.Options, error) {
	key, err := cfg.TemporalAPIKey()
	if err != nil {
		return temporalclient.Options{}, fault.New(fault.Config, "read settings", err, "")
	}
	t := cfg.Temporal
	return temporalclient.Options{
		Address: t.Address, Namespace: t.Namespace, APIKey: seal.NewSecret(key),
		TLS: temporalclient.TLS{Enabled: t.TLS.Enabled, CAFile: t.TLS.CAFile, CertFile: t.TLS.CertFile,
			KeyFile: t.TLS.KeyFile, ServerName: t.TLS.ServerName},
	}, nil
}

// keys loads the key ring. The key of a data directory is made when it is first
// needed, if the database has no store yet. If it has, the former key file is missing:
// a new one would open nothing, and hide that.
//
// If there is no key file, or it cannot be read, the ring says why (seal.Missing): a
// worker does not start then, and commands that neither enter nor open a password work.
func (p places) keys(ctx context.Context, repo sealedStores) (*seal.Ring, error) {
	if p.keyFile == "" {
		return seal.Missing(fault.New(fault.Config, "find key file: none is configured", nil,
			`make one with "mailmirror key create FILE" and name it by key_file in the configuration, the same on every machine`)), nil
	}
	if _, err := os.Stat(p.keyFile); errors.Is(err, fs.ErrNotExist) && p.ownKey {
		stores, err := repo.Stores(ctx)
		if err != nil {
			return nil, err
		}
		if len(stores) > 0 {
			return seal.Missing(p.missingKey(len(stores))), nil
		}
		// Another process may be faster; its key then serves both.
		if err := seal.CreateKeyFile(p.keyFile); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fault.Wrap(err, "make key file")
		}
	}
	ring, err := seal.LoadKeyFile(p.keyFile)
	if err != nil {
		return seal.Missing(err), nil
	}
	return ring, nil
}

// missingKey says that the key file of that many stores' passwords is missing, where it
// belongs, and what to do.
func (p places) missingKey(stores int) error {
	return fault.New(fault.Config, "find key file", fmt.Errorf("the key file %s is missing; the database has the passwords of %d stores, which only the keys in it open", p.keyFile, stores),
		fmt.Sprintf("restore the key file from a backup to %s, readable by its owner alone; if it is lost, make a new one with: mailmirror key create %s, and enter each password again: %s",
			p.keyFile, p.keyFile, enterAgain))
}
