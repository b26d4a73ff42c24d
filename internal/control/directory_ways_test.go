package control_test

import (
	"testing"

	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// A run that must not write is not started, and a directory that is switched off is none.
func TestSyncDirectoryThatMustNotWrite(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	records := controltest.NewDirectory(w.repo)
	for _, store := range []string{"prod", "site"} {
		m := directory.DefaultMapping()
		m.BaseDN = "o=" + store
		if err := records.PutDirectoryStore(t.Context(), site.Directory{Store: store, Mapping: m}); err != nil {
			t.Fatal(err)
		}
	}
	started := 0
	w.runner.OnDirectory = func(string, string) (string, bool, error) {
		started++
		return "run", true, nil
	}
	c := control.New(controltest.Ports(w.repo, records, w.runner), control.Options{}).As(alice)
	records.RunRefused = fault.Newf(fault.Config, "it would be mirrored back")
	for _, dry := range []bool{true, false} {
		if _, err := c.SyncDirectory(t.Context(), "dr", dry); !fault.Is(err, fault.Config) || started > 0 {
			t.Errorf("dry run %v: %v, %d started", dry, err, started)
		}
	}
	records.RunRefused = nil
	if _, err := c.SyncDirectory(t.Context(), "dr", false); err != nil || started != 1 {
		t.Errorf("%v, %d started", err, started)
	}
	if _, err := c.SetLinkDirectory(t.Context(), "dr", "sometimes"); !fault.Is(err, fault.Config) {
		t.Errorf("an unknown setting: %v", err)
	}
	for setting, shown := range map[site.LinkDirectory]bool{site.LinkDirectoryOff: false, site.LinkDirectoryOn: true} {
		l, err := c.SetLinkDirectory(t.Context(), "dr", setting)
		if err != nil || l.Directory != setting {
			t.Fatalf("%q: %+v, %v", setting, l, err)
		}
		if g, err := c.Guard(t.Context(), "dr"); err != nil || (g.Directory != nil) != shown {
			t.Errorf("%q: the link shows its directory: %v, %v", setting, g.Directory != nil, err)
		}
	}
}
