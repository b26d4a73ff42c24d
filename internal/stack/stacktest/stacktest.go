// Package stacktest starts whole stacks for tests, and stops them with the test. It must not know what is tested.
package stacktest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/stack"
)

// stopPatience is how long a test's processes may take to stop before they are
// killed.
const stopPatience = 30 * time.Second

// DataDir returns a new data directory that is removed with the test. Unlike
// t.TempDir it has a short path, for Unix sockets, and lets other users pass,
// for a PostgreSQL that runs as one of them.
func DataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mm")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatalf("make data directory: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove data directory: %v", err)
		}
	})
	return dir
}

// Up starts a stack on free ports with the binaries of `make build`, without
// fsync; it is stopped with the test. change may adapt the options and may be nil.
func Up(t testing.TB, dataDir string, change func(*stack.Options)) *stack.Stack {
	t.Helper()
	o := stack.Options{DataDir: dataDir, BinDir: BinDir(t), NoSync: true, Logger: Logger(t)}
	if change != nil {
		change(&o)
	}
	s, err := stack.Up(t.Context(), o)
	if err != nil {
		fatal(t, err)
	}
	t.Cleanup(func() { Stop(s) })
	return s
}

// Stop stops a stack. Those of Up need it only to be stopped sooner.
func Stop(s *stack.Stack) {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	s.Stop(ctx)
}

// fatal ends the test with the error and the hint that an operator would see.
func fatal(t testing.TB, err error) {
	t.Helper()
	t.Fatalf("%v\n%s", err, fault.HintOf(err))
}

// BinDir returns the bin folder at the root of the repository, which must hold
// the Temporal server.
func BinDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("find repository: no go.mod above the test's folder")
		}
		dir = parent
	}
	bin := filepath.Join(dir, "bin")
	if _, err := os.Stat(filepath.Join(bin, "mailmirror-temporal")); err != nil {
		t.Fatalf("this test needs the Temporal server, %v: run `make build` first", err)
	}
	return bin
}

// Logger writes what the supervisor says into the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p[:len(p)-1]))
	return len(p), nil
}
