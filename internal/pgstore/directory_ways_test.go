//go:build integration

package pgstore_test

import (
	"strings"
	"sync"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// directoryAt is a store's directory at addresses, below a base.
func directoryAt(store, base string, addresses ...string) site.Directory {
	d := directoryOf(store)
	d.Mapping.BaseDN, d.Addresses = base, addresses
	return d
}

// withWays has stores of these names, each with a server and a directory of its own, and
// links.
func withWays(t *testing.T, names string, links ...string) *pgstore.Store {
	t.Helper()
	var stores []site.Store
	for name := range strings.FieldsSeq(names) {
		stores = append(stores, serverAt(name, name+".example.org imap"))
	}
	s := withServers(t, stores)
	for _, st := range stores {
		must(t, s.PutDirectoryStore(t.Context(), directoryAt(st.Name, "ou=boxes", st.Name+".example.org ldap")))
	}
	for _, l := range links {
		must(t, s.AddLink(t.Context(), linkOf(l)))
	}
	return s
}

// ranOnce has the link mirror its directory, and end.
func ranOnce(t *testing.T, s *pgstore.Store, link string) {
	t.Helper()
	must(t, s.BeginDirectoryRun(t.Context(), "run of "+link, link, dirsync.TriggerOperator))
	finished(t, s, "run of "+link)
}

func reversed(l site.Link) site.Link {
	l.Directory = site.LinkDirectoryReverse
	return l
}

// TestDirectoryWays: a directory is never mirrored back to where it comes from, in
// whatever order links and directories are set, and whatever the stores are called.
func TestDirectoryWays(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	t.Run("a link back", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod dr", "there prod dr")
		err := s.AddLink(ctx, linkOf("back dr prod"))
		wantRejected(t, err, fault.Conflict, "link back", "store dr comes from that of store prod by link there", "mirrored back")
		if !strings.Contains(fault.HintOf(err), "--directory off") {
			t.Errorf("the hint is %q", fault.HintOf(err))
		}
		wantRejected(t, s.AddLink(ctx, reversed(linkOf("back dr prod"))), fault.Conflict, "mirrored back")
		off := linkOf("back dr prod")
		off.Directory = site.LinkDirectoryOff
		must(t, s.AddLink(ctx, off))
		for _, d := range []site.LinkDirectory{site.LinkDirectoryOn, site.LinkDirectoryReverse} {
			wantRejected(t, s.SetLinkDirectory(ctx, "back", d), fault.Conflict, "link there", "mirrored back")
		}
		if has, err := s.HasDirectory(ctx, "back"); has || err != nil {
			t.Errorf("a directory that is switched off: %v, %v", has, err)
		}
		wantRejected(t, s.BeginDirectoryRun(ctx, "b", "back", dirsync.TriggerOperator), fault.Config, "switched off")
		wantRejected(t, second(s.TakeLease(ctx, lease.OfDirectory("back"), lease.Times{TTL: ttl, Fence: fence})), fault.Config, "switched off")
		if hint := fault.HintOf(s.DirectoryRefusal(ctx, "back")); hint != "mailmirror link edit back --directory on" {
			t.Errorf("the hint of a directory that is switched off: %q", hint)
		}
		must(t, s.BeginDirectoryRun(ctx, "t", "there", dirsync.TriggerOperator))
		must(t, second(s.TakeLease(ctx, lease.OfDirectory("there"), lease.Times{TTL: ttl, Fence: fence})))
	})
	t.Run("the directory is set last", func(t *testing.T) {
		t.Parallel()
		s := withServers(t, []site.Store{serverAt("prod", "192.0.2.1 imap"), serverAt("dr", "192.0.2.2 imap")}, "there prod dr", "back dr prod")
		must(t, s.PutDirectoryStore(ctx, directoryOf("prod")))
		wantRejected(t, s.PutDirectoryStore(ctx, directoryOf("dr")), fault.Conflict, "link back", "mirrored back")
		if _, has, err := s.DirectoryStore(ctx, "dr"); has || err != nil {
			t.Errorf("the directory that was rejected is there: %v", err)
		}
		must(t, s.SetLinkDirectory(ctx, "back", site.LinkDirectoryOff))
		must(t, s.PutDirectoryStore(ctx, directoryOf("dr")))
	})
	t.Run("a chain", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod dr x", "there prod dr", "on dr x")
		wantRejected(t, s.AddLink(ctx, linkOf("home x prod")), fault.Conflict, "store x comes from that of store prod by link there")
		must(t, s.RemoveLink(ctx, "on"))
		must(t, s.AddLink(ctx, linkOf("home x prod")))
		wantRejected(t, s.AddLink(ctx, linkOf("on dr x")), fault.Conflict, "mirrored back")
	})
	t.Run("two links into one directory", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod u dr", "there prod dr", "too u dr")
		must(t, s.BeginDirectoryRun(ctx, "r", "too", dirsync.TriggerOperator))
	})
	for name, alias := range map[string]struct {
		imap string
		dir  site.Directory
		same bool
	}{
		"the same message server": {"prod.example.org imap", directoryAt("alias", "o=other", "alias.example.org ldap"), true},
		"the same directory":      {"192.0.2.7 imap", directoryAt("alias", "OU = Boxes", "192.0.2.7 ldap", "prod.example.org ldap"), true},
		"a base above":            {"192.0.2.7 imap", directoryAt("alias", "", "prod.example.org ldap"), true},
		"a base below":            {"192.0.2.7 imap", directoryAt("alias", "o=a, ou=boxes", "prod.example.org ldap"), true},
		"another base":            {"192.0.2.7 imap", directoryAt("alias", "o=boxes", "prod.example.org ldap"), false},
		"another server":          {"192.0.2.7 imap", directoryAt("alias", "ou=boxes", "192.0.2.7 ldap"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := withWays(t, "prod dr", "there prod dr")
			must(t, s.AddStore(ctx, serverAt("alias", alias.imap)))
			must(t, s.PutDirectoryStore(ctx, alias.dir))
			if err := s.AddLink(ctx, linkOf("back dr alias")); !alias.same {
				must(t, err)
			} else {
				wantRejected(t, err, fault.Conflict, "store dr comes from that of store prod", "store alias has the same directory")
			}
			if err := s.AddLink(ctx, linkOf("self prod alias")); alias.same && err == nil {
				t.Error("a directory may be mirrored onto itself")
			}
		})
	}
}

// TestDirectoryWayBack: what a link wrote to a directory outlives the link, and the way
// back is one that the operator asks for.
func TestDirectoryWayBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	t.Run("the link was removed", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod dr", "there prod dr")
		ranOnce(t, s, "there")
		must(t, s.RemoveLink(ctx, "there"))
		wantRejected(t, s.AddLink(ctx, linkOf("back dr prod")), fault.Conflict, "store dr came from that of store prod by link there")
		must(t, s.AddLink(ctx, reversed(linkOf("back dr prod"))))
		ranOnce(t, s, "back")
		wantRejected(t, s.AddLink(ctx, reversed(linkOf("there prod dr"))), fault.Conflict, "by link back")
		must(t, s.RemoveLink(ctx, "back"))
		wantRejected(t, s.AddLink(ctx, linkOf("there prod dr")), fault.Conflict, "by link back")
		must(t, s.AddLink(ctx, reversed(linkOf("there prod dr"))))
	})
	t.Run("the link never ran", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod dr", "there prod dr")
		must(t, s.RemoveLink(ctx, "there"))
		must(t, s.AddLink(ctx, linkOf("back dr prod")))
	})
	t.Run("the directory was switched off", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod dr", "there prod dr")
		ranOnce(t, s, "there")
		must(t, s.SetLinkDirectory(ctx, "there", site.LinkDirectoryOff))
		wantRejected(t, s.AddLink(ctx, linkOf("back dr prod")), fault.Conflict, "came from", "by link there")
		must(t, s.SetLinkDirectory(ctx, "there", site.LinkDirectoryOn))
		must(t, s.BeginDirectoryRun(ctx, "again", "there", dirsync.TriggerOperator))
	})
	t.Run("the store lost its directory", func(t *testing.T) {
		t.Parallel()
		s := withWays(t, "prod dr", "there prod dr")
		ranOnce(t, s, "there")
		must(t, s.RemoveDirectoryStore(ctx, "dr"))
		must(t, s.AddLink(ctx, linkOf("back dr prod")))
		must(t, s.RemoveLink(ctx, "there"))
		wantRejected(t, s.PutDirectoryStore(ctx, directoryOf("dr")), fault.Conflict, "link back", "came from")
		must(t, s.SetLinkDirectory(ctx, "back", site.LinkDirectoryReverse))
		must(t, s.PutDirectoryStore(ctx, directoryOf("dr")))
	})
}

// TestDirectoryWaysAtOnce: of two commands that make a circle together, one is accepted.
func TestDirectoryWaysAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, second := range map[string]struct{ do, undo func(*pgstore.Store) error }{
		"two links": {
			func(s *pgstore.Store) error { return s.AddLink(ctx, linkOf("there prod dr")) },
			func(s *pgstore.Store) error { return s.RemoveLink(ctx, "there") },
		},
		"a link and a directory": {
			func(s *pgstore.Store) error {
				return s.PutDirectoryStore(ctx, directoryAt("x", "ou=boxes", "x.example.org ldap"))
			},
			func(s *pgstore.Store) error { return s.RemoveDirectoryStore(ctx, "x") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := withWays(t, "prod dr")
			must(t, s.AddStore(ctx, serverAt("x", "x.example.org imap")))
			if name != "two links" {
				must(t, s.AddLink(ctx, linkOf("first prod x")))
				must(t, s.AddLink(ctx, linkOf("second x dr")))
			}
			for round := range 25 {
				errs := make([]error, 2)
				var both sync.WaitGroup
				both.Go(func() { errs[0] = s.AddLink(ctx, linkOf("back dr prod")) })
				both.Go(func() { errs[1] = second.do(s) })
				both.Wait()
				if (errs[0] == nil) == (errs[1] == nil) {
					t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
				}
				if errs[0] == nil {
					must(t, s.RemoveLink(ctx, "back"))
				} else {
					must(t, second.undo(s))
				}
			}
		})
	}
}

// TestDirectoryThatMoves: if a name comes to mean another directory, or an earlier release
// left a circle, the link that was added last does not write, and says why. The first
// one goes on.
func TestDirectoryThatMoves(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := withWays(t, "prod dr alias", "there prod dr", "back dr alias")
	ranOnce(t, s, "back")
	held, err := s.TakeLease(ctx, lease.OfDirectory("back"), lease.Times{TTL: ttl, Fence: fence})
	must(t, err)
	found := func(want bool, address string) {
		t.Helper()
		if changed, err := s.DirectoryFound(ctx, "alias", []string{address}); err != nil || changed != want {
			t.Fatalf("DirectoryFound(%s) = %v, %v", address, changed, err)
		}
	}
	found(false, "192.0.2.8 ldap")
	found(true, "prod.example.org ldap")
	found(false, "prod.example.org ldap")
	wantRejected(t, second(s.Renew(ctx, held, ttl)), fault.Config, "link there", "mirrored back")
	must(t, s.Release(ctx, held, true))
	wantRejected(t, second(s.TakeLease(ctx, lease.OfDirectory("back"), lease.Times{TTL: ttl, Fence: fence})), fault.Config, "link there")
	for range 2 { // an attempt is repeated if its worker dies
		wantRejected(t, s.BeginDirectoryRun(ctx, "b", "back", dirsync.TriggerSchedule), fault.Config, "link there", "mirrored back")
	}
	wantRejected(t, s.DirectoryRefusal(ctx, "back"), fault.Config, "mirrored back")
	run, err := s.DirectoryRun(ctx, "b")
	must(t, err)
	if run.State != dirsync.Failed || len(run.Reasons) != 1 || !strings.Contains(run.Hint, "--directory off") {
		t.Errorf("the run is recorded as %+v", run)
	}
	must(t, s.DirectoryRefusal(ctx, "there"))
	ranOnce(t, s, "there")
	must(t, second(s.TakeLease(ctx, lease.OfDirectory("there"), lease.Times{TTL: ttl, Fence: fence})))
	// What the later link did does not stop the first one when the later one is removed.
	must(t, s.RemoveLink(ctx, "back"))
	must(t, s.DirectoryRefusal(ctx, "there"))
}

// TestDirectoryEntryOfTheSource: an entry is not changed if its mailbox, or the entry
// itself, is mirrored from the target to the source.
func TestDirectoryEntryOfTheSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := withWays(t, "prod dr hidden")
	there := linkOf("there prod dr")
	must(t, s.AddLink(ctx, there))
	// 1 is mirrored by its messages, 2 by its entry.
	_, err := s.AddMailboxes(ctx, "there", []mailbox.Number{"1"})
	must(t, err)
	prod, dr := []directory.Record{entry("p", "P2", "2", "cn=New")}, []directory.Record{entry("d", "D2", "2", "cn=New")}
	begun := func(runID, link string, source, target []directory.Record) {
		t.Helper()
		must(t, s.BeginDirectoryRun(ctx, runID, link, dirsync.TriggerOperator))
		must(t, s.StageDirectory(ctx, runID, dirsync.SourceSide, each(source)))
		must(t, s.StageDirectory(ctx, runID, dirsync.TargetSide, each(target)))
		_, err := s.CompareDirectory(ctx, runID, dirsync.DefaultSettings())
		must(t, err)
	}
	begun("t", "there", prod, dr)
	finished(t, s, "t")
	planned := func(runID, link string, want string) {
		t.Helper()
		source := []directory.Record{entry("d", "D1", "1", "cn=Old"), entry("d", "D2", "2", "cn=Old"), entry("d", "D3", "3", "cn=Old")}
		target := []directory.Record{entry("p", "P1", "1", "cn=New"), entry("p", "P2", "2", "cn=New"), entry("p", "P3", "3", "cn=New")}
		begun(runID, link, source, target)
		var numbers []string
		for _, c := range changesOf(t, s, runID) {
			if c.State == dirsync.ChangePlanned {
				numbers = append(numbers, c.Number)
			} else if c.Kind != directory.Protected || !strings.Contains(c.Error, "from the target to the source") {
				t.Errorf("link %s: %s: %s", link, told(c), c.Error)
			}
		}
		if got := strings.Join(numbers, " "); got != want {
			t.Errorf("link %s would change %q, want %q", link, got, want)
		}
		finished(t, s, runID)
	}
	// Nothing shows that this is production's directory but the ids of its entries.
	must(t, s.AddLink(ctx, linkOf("hidden dr hidden")))
	planned("h", "hidden", "1 3")
	must(t, s.SetLinkDirectory(ctx, "there", site.LinkDirectoryOff))
	must(t, s.AddLink(ctx, reversed(linkOf("back dr prod"))))
	planned("b", "back", "3")
}
