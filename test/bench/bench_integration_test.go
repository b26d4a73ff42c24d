//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailmirror/test/bench/bare"
)

// TestMain lets the test program be the bare protocol's process, as the
// benchmark's own program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == bareCommand {
		if err := bare.Main(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestBench runs the whole benchmark at a tiny size over the peers and the
// bare protocol: the ceiling and dsync must leave equal stores after every
// case, and mbsync, which alters messages, must be found out.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	// The mail server's own user must reach its folders.
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	figures, table := filepath.Join(dir, "figures.json"), filepath.Join(dir, "table.md")
	o, err := parseOptions([]string{
		"-mailboxes", "6", "-messages", "8", "-rounds", "2", "-review", "5", "-large", "3", "-idle-wait", "0s",
		"-tools", "ceiling,dsync,mbsync,mailmirror", "-bin", filepath.Join(dir, "nothing"),
		"-dir", dir, "-json", figures, "-o", table,
	}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var out, progress strings.Builder
	if err := run(t.Context(), o, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	data, err := os.ReadFile(figures)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(data, &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != 2*4*6 {
		t.Errorf("%d results instead of 2 rounds of 4 tools and 6 cases", len(results))
	}
	for _, r := range results {
		where := fmt.Sprintf("%s, %s, round %d", r.Tool, r.Case, r.Round)
		switch {
		case r.Tool == toolMailmirror:
			if !r.Absent || r.Failure != "not installed" {
				t.Errorf("%s: %+v, want it not to be installed", where, r)
			}
		case r.Case == caseShared && r.Tool != toolCeiling:
			if !r.Absent {
				t.Errorf("%s: was run", where)
			}
		case r.Failure != "":
			t.Errorf("%s: %s", where, r.Failure)
		case r.Tool == toolMbsync:
			if len(r.Differences) == 0 {
				t.Errorf("%s: the header that mbsync adds was not found", where)
			}
		case len(r.Differences) > 0:
			t.Errorf("%s: %d differences, such as %s", where, len(r.Differences), r.Differences[0])
		}
		if r.Failure == "" && (r.Usage.Wall == 0 || r.Usage.Peak == 0) {
			t.Errorf("%s: no figures: %+v", where, r.Usage)
		}
	}
	if written, err := os.ReadFile(table); err != nil || string(written) != out.String() {
		t.Errorf("the table's file differs from what was printed: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !e.IsDir() })
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
