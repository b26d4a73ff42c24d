package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const identity = "store/production/trusted_password"

func newFile(t *testing.T) (path string, ring *Ring) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	if err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	return path, load(t, path)
}

func load(t *testing.T, path string) *Ring {
	t.Helper()
	ring, err := LoadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func sealed(t *testing.T, ring *Ring, value string) []byte {
	t.Helper()
	out, err := ring.Seal(NewSecret(value), identity)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSealOpens(t *testing.T) {
	t.Parallel()
	_, ring := newFile(t)
	for _, value := range []string{"", "swordfish", strings.Repeat("ü", 1000), "\x00\xff"} {
		box := sealed(t, ring, value)
		if value != "" && bytes.Contains(box, []byte(value)) {
			t.Errorf("the sealed value shows the secret %q", value)
		}
		if bytes.Equal(box, sealed(t, ring, value)) {
			t.Error("sealing twice gave the same bytes: equal secrets can be told from the database")
		}
		secret, err := ring.Open(box, identity)
		if err != nil || secret.Reveal() != value {
			t.Errorf("Open = %q, %v; want %q", secret.Reveal(), err, value)
		}
	}
}

// TestTamper flips every single bit and cuts the value at every length.
func TestTamper(t *testing.T) {
	t.Parallel()
	_, ring := newFile(t)
	box := sealed(t, ring, "swordfish")
	for i := range box {
		for bit := range 8 {
			bad := bytes.Clone(box)
			bad[i] ^= 1 << bit
			if secret, err := ring.Open(bad, identity); err == nil {
				t.Fatalf("byte %d bit %d flipped: opened as %q", i, bit, secret.Reveal())
			} else if !errors.Is(err, ErrOpen) && !errors.Is(err, ErrUnknownKey) {
				t.Fatalf("byte %d bit %d flipped: %v", i, bit, err)
			}
		}
		if _, err := ring.Open(box[:i], identity); err == nil {
			t.Fatalf("opened when cut to %d bytes", i)
		}
	}
	if _, err := ring.Open(append(bytes.Clone(box), 0), identity); !errors.Is(err, ErrOpen) {
		t.Errorf("with a byte more: %v", err)
	}
}

func TestOtherIdentity(t *testing.T) {
	t.Parallel()
	_, ring := newFile(t)
	_, err := ring.Open(sealed(t, ring, "swordfish"), "store/dr/trusted_password")
	if !errors.Is(err, ErrOpen) {
		t.Errorf("a value moved to another row: %v, want ErrOpen", err)
	}
}

func TestOtherKeyFile(t *testing.T) {
	t.Parallel()
	_, ring := newFile(t)
	_, other := newFile(t)
	if _, err := other.Open(sealed(t, ring, "swordfish"), identity); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("%v, want ErrUnknownKey", err)
	}
}

// rotate puts a fresh key first in a key file and keeps the others, as an operator does
// by hand.
func rotate(t *testing.T, path string) {
	t.Helper()
	fresh, _ := newFile(t)
	var text []byte
	for _, p := range []string{fresh, path} {
		keys, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, keys...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	path, before := newFile(t)
	old := sealed(t, before, "swordfish")
	rotate(t, path)
	after := load(t, path)
	if secret, err := after.Open(old, identity); err != nil || secret.Reveal() != "swordfish" {
		t.Fatalf("what the old key sealed does not open after a rotation: %v", err)
	}
	if _, err := before.Open(sealed(t, after, "x"), identity); !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("the new key does not seal: %v", err)
	}
	fresh := sealed(t, after, "swordfish")
	// With the old key gone only what the new one sealed opens.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:len(lines)-1], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	last := load(t, path)
	if secret, err := last.Open(fresh, identity); err != nil || secret.Reveal() != "swordfish" {
		t.Errorf("what the new key sealed: %v", err)
	}
	if _, err := last.Open(old, identity); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a dropped key still opens: %v", err)
	}
}

func TestCreateKeepsAnExistingFile(t *testing.T) {
	t.Parallel()
	path, ring := newFile(t)
	if err := CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second CreateKeyFile: %v", err)
	}
	if _, err := load(t, path).Open(sealed(t, ring, "x"), identity); err != nil {
		t.Error("the file was replaced:", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files left behind: %v, %v", entries, err)
	}
}

func TestBadKeyFiles(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(make([]byte, keyBytes))
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"group may read":  {"k " + good, 0o640, "chmod 600"},
		"world may read":  {"k " + good, 0o604, "chmod 600"},
		"group may write": {"k " + good, 0o620, "chmod 600"},
		"empty":           {"", 0o600, "no key"},
		"comments only":   {"# k " + good + "\n", 0o600, "no key"},
		"short key":       {"k " + good[:20], 0o600, "line 1"},
		"not base64":      {"\nk !!!!", 0o600, "line 2"},
		"three fields":    {"k " + good + " x", 0o600, "line 1"},
		"id with slash":   {"k/1 " + good, 0o600, "line 1"},
		"id twice":        {"k " + good + "\nk " + good, 0o600, "twice"},
		"something large": {strings.Repeat("#\n", maxKeyFile), 0o600, "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadKeyFile(path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if strings.Contains(err.Error(), good[:20]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	if _, err := LoadKeyFile(t.TempDir()); err == nil {
		t.Error("loaded a directory")
	}
	if _, err := LoadKeyFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func FuzzParseKeys(f *testing.F) {
	good := base64.StdEncoding.EncodeToString(make([]byte, keyBytes))
	f.Add([]byte("k " + good + "\n# c\nl " + good))
	f.Add([]byte("k\t" + good + "\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil {
			return
		}
		// What parses is written and read back the same, and makes a ring.
		var b strings.Builder
		for _, k := range keys {
			b.WriteString(formatKey(k))
		}
		again, err := parseKeys([]byte(b.String()))
		if err != nil || len(again) != len(keys) {
			t.Fatalf("round trip: %v", err)
		}
		if _, err := newRing(keys); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	ring, err := newRing([]key{{"k", make([]byte, keyBytes)}})
	if err != nil {
		f.Fatal(err)
	}
	// A fixed value: the fuzzing processes each run this function, and a nonce
	// of their own would make the others' seeds look forged. It also holds the
	// format still: what an older release sealed has to open for ever.
	box, err := hex.DecodeString("01016bf958df79eb5e97705d3b38a82588bb44fdb3ef2c04729d73da8b647252b83d3a7c5d616df0")
	if err != nil {
		f.Fatal(err)
	}
	if secret, err := ring.Open(box, identity); err != nil || secret.Reveal() != "swordfish" {
		f.Fatalf("the value of an older release does not open: %v", err)
	}
	f.Add(box)
	f.Add([]byte{version, 1, 'k'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if secret, err := ring.Open(data, identity); err == nil && !bytes.Equal(data, box) {
			t.Fatalf("forged: opened as %q", secret.Reveal())
		}
	})
}

// TestDerive: the same key before and after a rotation, another one for another
// purpose or file, and none of the file's own.
func TestDerive(t *testing.T) {
	t.Parallel()
	path, before := newFile(t)
	key := before.Derive("directory/digest")
	if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) || bytes.Equal(key, before.root) {
		t.Fatalf("a key of %d bytes", len(key))
	}
	rotate(t, path)
	if !bytes.Equal(key, load(t, path).Derive("directory/digest")) {
		t.Error("it is another one after a rotation")
	}
	_, other := newFile(t)
	for name, differs := range map[string][]byte{"another purpose": before.Derive("directory/other"), "another file": other.Derive("directory/digest")} {
		if bytes.Equal(key, differs) {
			t.Errorf("%s gives the same key", name)
		}
	}
}
