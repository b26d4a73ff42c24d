package app

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

type storeTable []site.Store

func (s storeTable) Stores(context.Context) ([]site.Store, error) { return s, nil }

func (s storeTable) DirectoryStore(context.Context, string) (site.Directory, bool, error) {
	return site.Directory{}, false, nil
}

// ring returns a new key file's keys.
func ring(t *testing.T) *seal.Ring {
	t.Helper()
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

// TestKeysThatDoNotFit: a worker starts with a key file that opens no password of the
// database, or not all. It says which stores fail, and how to enter their passwords
// again, until that is done.
func TestKeysThatDoNotFit(t *testing.T) {
	old, fresh := ring(t), ring(t)
	store := func(name string, keys *seal.Ring) site.Store {
		sealed, err := keys.Seal(seal.NewSecret("geheim"), site.PasswordIdentity(name))
		if err != nil {
			t.Fatal(err)
		}
		return site.Store{Name: name, SealedPassword: sealed}
	}
	both := storeTable{store("prod", old), store("dr", old)}
	for name, c := range map[string]struct {
		stores storeTable
		keys   *seal.Ring
		locked []string
	}{
		"the key fits":         {both, old, nil},
		"another key":          {both, fresh, []string{"prod", "dr"}},
		"no store yet":         {nil, fresh, nil},
		"one is entered again": {storeTable{store("prod", old), store("dr", fresh)}, fresh, []string{"prod"}},
	} {
		var log bytes.Buffer
		p := &passwords{repo: c.stores, keys: c.keys}
		if err := p.start(t.Context(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Errorf("%s: the worker does not start: %v", name, err)
		}
		_, err := p.failing()
		if (err != nil) != (len(c.locked) > 0) || strings.Contains(log.String(), "level=ERROR") != (err != nil) {
			t.Errorf("%s: %v; log:\n%s", name, err, log.String())
		}
		for _, s := range both {
			locked := slices.Contains(c.locked, s.Name)
			if err != nil && strings.Contains(err.Error(), "store "+s.Name) != locked ||
				strings.Contains(fault.HintOf(err), "mailmirror store edit "+s.Name+" --trusted-password-file FILE") != locked {
				t.Errorf("%s, store %s: %v, hint %q", name, s.Name, err, fault.HintOf(err))
			}
		}
		p.repo = storeTable{store("prod", c.keys)}
		if _, err := p.failing(); err != nil {
			t.Errorf("%s: after all were entered again: %v", name, err)
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
	_, opening := sealedPassword{store: "prod", sealed: []byte("x")}.open(keys)
	starting := (&passwords{repo: storeTable{}, keys: keys}).start(t.Context(), slog.New(slog.DiscardHandler))
	for what, err := range map[string]error{"worker": starting, "seal": sealing, "open": opening} {
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
