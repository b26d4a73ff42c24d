package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// key is one line of a key file.
type key struct {
	id     string
	secret []byte // 32 bytes, for AES-256
}

const (
	keyBytes = 32
	// maxKeyFile bounds what is read from a path that may be the wrong one.
	maxKeyFile = 64 << 10
	fileHead   = "# Keys that seal the secrets in Mailmirror's database. Lose this file and they are lost.\n" +
		"# One key a line: id, blank, base64. The first one seals, all of them open.\n"
)

// CreateKeyFile writes a new key file with one fresh key, readable by its
// owner alone. An existing file is never replaced (errors.Is fs.ErrExist),
// because that would make every secret sealed with it unreadable.
func CreateKeyFile(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("create key file %s: %w", path, os.ErrExist)
	}
	fresh, err := freshKey()
	if err != nil {
		return fmt.Errorf("create key file %s: %w", path, err)
	}
	if err := writeWhole(path, []byte(fileHead+formatKey(fresh))); err != nil {
		return fmt.Errorf("create key file %s: %w", path, err)
	}
	return nil
}

// LoadKeyFile reads a key ring. A file that group or others may access is
// refused: whoever can read it can read every sealed secret.
func LoadKeyFile(path string) (*Ring, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	ring, err := newRing(keys)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return ring, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	// The open file is asked, not the path: it cannot be exchanged in between.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s: not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key file %s: mode %#o lets others in; run chmod 600 on it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("key file %s: larger than %d bytes, so it is no key file", path, maxKeyFile)
	}
	return text, nil
}

// parseKeys reads the lines of a key file. Its errors name the line and never
// show what it holds.
func parseKeys(text []byte) ([]key, error) {
	var keys []key
	seen := map[string]bool{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fields := bytes.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: want a key id, a blank and a key", i+1)
		}
		id := string(fields[0])
		if !validID(id) {
			return nil, fmt.Errorf("line %d: a key id is 1 to 32 letters, digits, dots, dashes or underscores", i+1)
		}
		if seen[id] {
			return nil, fmt.Errorf("line %d: key id %s comes twice", i+1, id)
		}
		seen[id] = true
		secret, err := base64.StdEncoding.Strict().DecodeString(string(fields[1]))
		if err != nil || len(secret) != keyBytes {
			return nil, fmt.Errorf("line %d: key %s is not the base64 of %d bytes", i+1, id, keyBytes)
		}
		keys = append(keys, key{id, secret})
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key")
	}
	return keys, nil
}

func formatKey(k key) string {
	return k.id + " " + base64.StdEncoding.EncodeToString(k.secret) + "\n"
}

func freshKey() (key, error) {
	random := make([]byte, 4+keyBytes)
	if _, err := rand.Read(random); err != nil {
		return key{}, err
	}
	return key{hex.EncodeToString(random[:4]), random[4:]}, nil
}

func validID(id string) bool {
	if id == "" || len(id) > 32 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// writeWhole writes a file beside path and gives it its name, which must not exist, so
// that no crash ever leaves half a key file.
func writeWhole(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(f.Name()); err == nil {
			err = e
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
