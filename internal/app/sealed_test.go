package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

type storeTable []control.Store

func (s storeTable) Stores(context.Context) ([]control.Store, error) { return s, nil }

func (s storeTable) DirectoryStore(context.Context, string) (control.DirectoryStore, bool, error) {
	return control.DirectoryStore{}, false, nil
}

// TestKeysThatDoNotFit: a worker does not start with a key file that opens no
// password of the database, and says what to do.
func TestKeysThatDoNotFit(t *testing.T) {
	ring := func() *seal.Ring {
		path := filepath.Join(t.TempDir(), "key")
		if err := seal.CreateKeyFile(path); err != nil {
			t.Fatal(err)
		}
		keys, err := seal.LoadKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	old, fresh := ring(), ring()
	store := func(name string, keys *seal.Ring) control.Store {
		sealed, err := keys.Seal(seal.NewSecret("geheim"), control.PasswordIdentity(name))
		if err != nil {
			t.Fatal(err)
		}
		return control.Store{Name: name, SealedPassword: sealed}
	}
	both := storeTable{store("prod", old), store("dr", old)}
	for name, c := range map[string]struct {
		stores storeTable
		keys   *seal.Ring
		fails  bool
	}{
		"the key fits":         {both, old, false},
		"another key":          {both, fresh, true},
		"no store yet":         {nil, fresh, false},
		"one is entered again": {storeTable{store("prod", old), store("dr", fresh)}, fresh, false},
	} {
		err := checkKeys(t.Context(), c.stores, c.keys)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if c.fails && (!fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "restore the key file") ||
			!strings.Contains(err.Error(), "does not open any of the 2 passwords")) {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
	}
}

// TestMissingKeyFile: the key file of a data directory is made for a new installation
// only. If the database has stores, what needs the key says that the file is missing,
// where it belongs, and what to do; what needs no key works.
func TestMissingKeyFile(t *testing.T) {
	t.Parallel()
	p := places{keyFile: filepath.Join(t.TempDir(), "seal.key"), ownKey: true}
	keys, err := p.keys(t.Context(), storeTable{{Name: "prod", SealedPassword: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.keyFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
	_, sealing := keys.Seal(seal.NewSecret("x"), "id")
	_, opening := openSealed(keys, []byte("x"), "id")
	for what, err := range map[string]error{"worker": checkKeys(t.Context(), storeTable{}, keys), "seal": sealing, "open": opening} {
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), p.keyFile+" is missing") ||
			!strings.Contains(fault.HintOf(err), "restore the key file from a backup to "+p.keyFile) || !strings.Contains(fault.HintOf(err), "mailmirror key create") {
			t.Errorf("%s: %v (%s)", what, err, fault.HintOf(err))
		}
	}
	fresh, err := p.keys(t.Context(), storeTable{})
	if err != nil || fresh.Missing() != nil {
		t.Errorf("a new installation: %v, %v", err, fresh.Missing())
	}
	if again, err := p.keys(t.Context(), storeTable{{Name: "prod"}}); err != nil || again.Missing() != nil {
		t.Errorf("with the key file: %v", err)
	}
}
