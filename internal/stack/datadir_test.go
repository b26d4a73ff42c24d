package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/fault"
)

// TestReachOfAnotherUser looks at permission bits alone, as seen by a user who
// owns nothing here.
func TestReachOfAnotherUser(t *testing.T) {
	other := identity{name: "other", uid: 65533, gid: 65533, switching: true}
	base := t.TempDir() // its parent is closed to others
	if err := os.Chmod(filepath.Dir(base), 0o711); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(base, "closed")
	data := filepath.Join(closed, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	err := other.checkReach(data)
	if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "may not pass through "+closed) {
		t.Errorf("closed parent: %v", err)
	}
	if err := os.Chmod(closed, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := other.checkReach(data); err != nil {
		t.Errorf("open parent: %v", err)
	}
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o711 {
		t.Errorf("the data directory itself: got %o, want it opened for passing", got)
	}
	self := identity{uid: os.Geteuid()}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := self.checkReach(data); err != nil {
		t.Errorf("our own user: %v", err)
	}
}

func TestLoadSaysWhyThereIsNoStack(t *testing.T) {
	dir := t.TempDir()
	l := layout{dir}
	expect := func(kind fault.Kind, text string) {
		t.Helper()
		_, err := Load(dir)
		if !fault.Is(err, kind) || !strings.Contains(err.Error(), text) || fault.HintOf(err) == "" {
			t.Errorf("got %s: %v (%s), want %s, %q and a hint", fault.KindOf(err), err, fault.HintOf(err), kind, text)
		}
	}
	expect(fault.Config, "none was ever started")

	info := Info{DataDir: dir, State: stateServing, StartedAt: time.Now()}
	if err := writeJSON(l.info(), info); err != nil {
		t.Fatal(err)
	}
	expect(fault.Transient, "is not running")

	lock, err := takeLock(t.Context(), l.lock())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.release()
	if got, err := Load(dir); err != nil || got.DataDir != dir {
		t.Errorf("running: %+v, %v", got, err)
	}
	info.State = stateStarting
	if err := writeJSON(l.info(), info); err != nil {
		t.Fatal(err)
	}
	expect(fault.Transient, "still starting")

	if err := os.WriteFile(l.info(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(fault.Config, "stack.json")
}

func TestAClusterKeepsItsRelease(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := findPostgres(dir)
	if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "made by release 9") {
		t.Errorf("got %v", err)
	}
	if bin, err := findPostgres(filepath.Join(dir, "none")); err != nil || bin == "" {
		t.Errorf("new cluster: %q, %v", bin, err)
	}
}

func TestWrittenFilesAreOursAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, content := range []string{"first", "second"} {
		if err := writeFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != content {
			t.Errorf("got %q, %v", b, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode: %v, %v", info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}
