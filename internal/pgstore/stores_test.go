//go:build integration

package pgstore_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"

	"github.com/google/go-cmp/cmp"
)

func TestStores(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t)
	ctx := t.Context()
	want := storeNamed("prod")
	must(t, s.AddStore(ctx, want))
	wantKind(t, s.AddStore(ctx, want), fault.Conflict)

	got, err := s.Store(ctx, "prod")
	must(t, err)
	noTimes := cmpopts.IgnoreFields(site.Store{}, "CreatedAt", "UpdatedAt")
	if diff := cmp.Diff(want, got, noTimes); diff != "" {
		t.Error(diff)
	}
	if got.CreatedAt.IsZero() || got.UpdatedAt.IsZero() {
		t.Error("no times were set")
	}

	// Everything but the name and the times is replaced, also by empty values.
	changed := site.Store{Name: "prod", IMAPAddress: "[::1]:993", Security: site.SecurityNone, Login: site.LoginAuthzid,
		TrustedName: "other", Events: site.ListenAuto, LoginCase: site.LoginFold}
	must(t, s.UpdateStore(ctx, changed))
	after, err := s.Store(ctx, "prod")
	must(t, err)
	if diff := cmp.Diff(changed, after, noTimes, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if !after.CreatedAt.Equal(got.CreatedAt) || !after.UpdatedAt.After(got.UpdatedAt) {
		t.Errorf("times %v %v, before %v %v", after.CreatedAt, after.UpdatedAt, got.CreatedAt, got.UpdatedAt)
	}

	must(t, s.AddStore(ctx, storeNamed("dr")))
	list, err := s.Stores(ctx)
	must(t, err)
	if len(list) != 2 || list[0].Name != "dr" || list[1].Name != "prod" {
		t.Errorf("Stores = %v, want dr and prod", list)
	}

	_, err = s.Store(ctx, "none")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.UpdateStore(ctx, storeNamed("none")), fault.NotFound)
	wantKind(t, s.RemoveStore(ctx, "none"), fault.NotFound)
	odd := storeNamed("odd")
	odd.Security = "rot13"
	wantKind(t, s.AddStore(ctx, odd), fault.Config)

	must(t, s.RemoveStore(ctx, "dr"))
	_, err = s.Store(ctx, "dr")
	wantKind(t, err, fault.NotFound)
}

func TestLinks(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t)
	ctx := t.Context()
	must(t, s.AddStore(ctx, storeNamed("prod")))
	must(t, s.AddStore(ctx, storeNamed("dr")))
	want := site.Link{Name: link, Source: "prod", Target: "dr", Exclude: mailbox.Patterns{"Trash", "Junk"}}
	must(t, s.AddLink(ctx, want))
	wantKind(t, s.AddLink(ctx, want), fault.Conflict)

	got, err := s.Link(ctx, link)
	must(t, err)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(site.Link{}, "CreatedAt")); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]site.Link{
		"unknown source": {Name: "x", Source: "nowhere", Target: "dr"},
		"unknown target": {Name: "x", Source: "prod", Target: "nowhere"},
		"to itself":      {Name: "x", Source: "prod", Target: "prod"},
	} {
		err := s.AddLink(ctx, bad)
		want := fault.Config
		if strings.HasPrefix(name, "unknown") {
			want = fault.NotFound
		}
		wantKind(t, err, want)
		if want == fault.NotFound && !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("%s: %v does not say what was looked for", name, err)
		}
	}

	err = s.RemoveStore(ctx, "dr")
	wantKind(t, err, fault.Conflict)
	if err == nil || !strings.Contains(err.Error(), link) {
		t.Errorf("%v does not say what uses the store", err)
	}

	list, err := s.Links(ctx)
	must(t, err)
	if len(list) != 1 || list[0].Name != link {
		t.Errorf("Links = %v", list)
	}
	must(t, s.RemoveLink(ctx, link))
	wantKind(t, s.RemoveLink(ctx, link), fault.NotFound)
	_, err = s.Link(ctx, link)
	wantKind(t, err, fault.NotFound)
	must(t, s.RemoveStore(ctx, "dr"))
}

// TestRemoveLink: everything of the link goes, history stays, and a link with
// a sync at work is not removed under its feet.
func TestRemoveLink(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	ctx := t.Context()
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Save(ctx, lease, initialCopy()))
	err := s.RemoveLink(ctx, link)
	wantKind(t, err, fault.Conflict)

	done := report("1", 1)
	must(t, s.Save(ctx, lease, updateDone(done)))
	must(t, s.StartCompare(ctx, site.CompareRun{RunID: "c", Link: link, StartedAt: done.Started}))
	must(t, s.RemoveLink(ctx, link))

	history, err := s.History(ctx, link, "1", 0)
	must(t, err)
	if len(history) != 1 {
		t.Errorf("history of a removed link: %v, want its one sync", history)
	}
	// Added again, nothing of before is known.
	must(t, s.AddLink(ctx, site.Link{Name: link, Source: "prod", Target: "dr"}))
	if n, err := s.CountMailboxes(ctx, link); err != nil || n != 0 {
		t.Errorf("CountMailboxes = %d, %v", n, err)
	}
	_, err = s.AddMailboxes(ctx, link, []mailbox.Number{"1"})
	must(t, err)
	equal(t, "ledgers", known(t, s, keyOf("1")), nil)
	if err := s.Save(ctx, lease, initialCopy()); !fault.Is(err, fault.Conflict) {
		t.Errorf("a lease of before is good for the mailbox added again: %v", err)
	}
}
