package app

import (
	"context"
	"fmt"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

// keyHint says what to do about a password that no key of the key file opens.
const keyHint = "restore the key file with which the passwords were entered; if it is lost, enter each password again: " + enterAgain

// enterAgain is how the passwords of a store are entered again.
const enterAgain = "mailmirror store edit NAME --trusted-password-file FILE, and --ldap-password-file FILE if it has a directory"

// openSealed opens a password of the database. The error says what to do.
func openSealed(keys *seal.Ring, sealed []byte, identity string) (seal.Secret, error) {
	if err := keys.Missing(); err != nil {
		return seal.Secret{}, err
	}
	secret, err := keys.Open(sealed, identity)
	if err != nil {
		return secret, fault.New(fault.Config, "open a password of the database", err, keyHint)
	}
	return secret, nil
}

// sealedStores is what checkKeys needs of the database.
type sealedStores interface {
	Stores(ctx context.Context) ([]control.Store, error)
	DirectoryStore(ctx context.Context, store string) (control.DirectoryStore, bool, error)
}

// checkKeys returns an error if the database has passwords and the key file opens
// none of them: it belongs to another installation, or was made anew. If it opens
// some of them, only the mailboxes of the other stores fail.
func checkKeys(ctx context.Context, repo sealedStores, keys *seal.Ring) error {
	if err := keys.Missing(); err != nil {
		return err
	}
	stores, err := repo.Stores(ctx)
	if err != nil {
		return err
	}
	var first error
	fails := 0
	for _, s := range stores {
		_, err := openSealed(keys, s.SealedPassword, control.PasswordIdentity(s.Name))
		if err == nil {
			return nil
		}
		fails++
		if first == nil {
			first = err
		}
		d, has, err := repo.DirectoryStore(ctx, s.Name)
		if err != nil {
			return err
		}
		if has {
			if _, err := openSealed(keys, d.SealedPassword, control.DirectoryPasswordIdentity(s.Name)); err == nil {
				return nil
			}
			fails++
		}
	}
	return fault.Wrap(first, fmt.Sprintf("the key file does not open any of the %d passwords in the database", fails))
}
