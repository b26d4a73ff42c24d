//go:build integration

package main

import (
	"io"
	"strings"
	"testing"
)

// TestReplica: the follower that the mirror is measured beside takes over what
// changed, and nothing else.
func TestReplica(t *testing.T) {
	r := &directoryRig{directoryOptions: directoryOptions{recorded: 100}, n: 300, progress: io.Discard}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := r.startServers(t.Context()); err != nil {
		t.Fatal(err)
	}
	dump := func() string {
		t.Helper()
		text, err := r.replicated.Dump(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if n := strings.Count(dump(), "\nMailboxNumber: "); n != 300 {
		t.Fatalf("the follower has %d entries at first, want 300", n)
	}
	if err := r.change(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if _, err := r.replicate(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := dump()
	if n := strings.Count(after, "\nMisc1: changed in round 7"); n != 3 {
		t.Errorf("the follower took over %d of 3 changes", n)
	}
	if n := strings.Count(after, "\nMailboxNumber: "); n != 300 {
		t.Errorf("the follower has %d entries, want 300", n)
	}
}
