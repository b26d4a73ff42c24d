package storecheck_test

import (
	"testing"
	"time"

	"mailmirror/internal/control/controltest"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/storecheck"
	"mailmirror/internal/verdict"
)

func addStore(t *testing.T, repo *controltest.Memory, s site.Store) {
	t.Helper()
	if err := repo.AddStore(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func TestMinimumRelease(t *testing.T) {
	for _, test := range []struct {
		release, minimum string
		ok               bool
	}{
		{"2.3.19.1 (9b53102964)", "2.3.19", true},
		{"2.3.19", "2.3.19.1", false},
		{"2.3.19", "2.3.19.0", true},
		{"2.10", "2.9", true},
		{"3", "2.9.9", true},
		{"v3.6.1-Debian", "3.6.1", true},
		{"", "1", false},
		{"unknown", "0.1", false},
	} {
		repo := controltest.NewMemory(time.Now)
		addStore(t, repo, site.Store{Name: "prod", IMAPAddress: "prod.example.org:993", MinimumRelease: test.minimum})
		c := storecheck.Checker{Records: controltest.CheckRecords{Memory: repo, Directory: controltest.NewDirectory(repo)},
			Servers: &controltest.Servers{Reports: map[string]verdict.Store{"prod": {Server: "X", Release: test.release}}}}
		r, err := c.Check(t.Context(), "prod", "100")
		if (err == nil) != test.ok || (err != nil && !fault.Is(err, fault.Config)) {
			t.Errorf("release %q, minimum %q: %v", test.release, test.minimum, err)
		}
		if r.Store != "prod" || r.Mailbox != "100" || r.Address != "prod.example.org:993" {
			t.Errorf("report is of %q at %s, mailbox %q", r.Store, r.Address, r.Mailbox)
		}
	}
}
