package storecheck_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/control/controltest"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/site"
	"mailmirror/internal/storecheck"
	"mailmirror/internal/verdict"
)

// The right to write is tried of what a link has as its target, under the lease of
// a run, and of nothing else: least of all of production.
func TestCheckDirectoryTriesRightsOfATargetAlone(t *testing.T) {
	away := fault.Newf(fault.Transient, "the connection was lost")
	for name, test := range map[string]struct {
		store   string
		refused error    // no lease is given
		broken  error    // what the try ends with
		faults  []string // found before
		under   string   // the link whose lease it is tried under; "" where it is not
		advice  string
		fails   bool
		unclean bool
	}{
		"the target":         {store: "site", under: "dr", advice: "one thing is not known"},
		"the source":         {store: "prod"},
		"of no link":         {store: "spare", advice: "no link's target yet"},
		"of no directory":    {store: "leaf", advice: "no link's target yet"},
		"suspended":          {store: "site", refused: fault.New(fault.Conflict, "take lease", &lease.SuspendedError{}, ""), advice: "suspended"},
		"during a run":       {store: "site", refused: fault.New(fault.Conflict, "take lease", &lease.HeldError{}, ""), advice: "written to at this moment"},
		"with faults":        {store: "site", faults: []string{"no schema"}},
		"both of two":        {store: "middle", under: "first", advice: "one thing is not known"},
		"a way back":         {store: "site", refused: fault.Newf(fault.Config, "it would be mirrored back"), advice: "mirrored back"},
		"a broken record":    {store: "site", refused: away, fails: true},
		"a lost connection":  {store: "site", under: "dr", broken: away, advice: "could not be tried to the end: the connection was lost", unclean: true},
		"a changed password": {store: "site", under: "dr", broken: fault.Newf(fault.Config, "invalid credentials"), advice: "one thing is not known", fails: true, unclean: true},
	} {
		t.Run(name, func(t *testing.T) {
			repo := controltest.NewMemory(time.Now)
			records := controltest.NewDirectory(repo)
			for _, name := range []string{"prod", "site", "middle", "end", "bare", "leaf", "spare"} {
				addStore(t, repo, site.Store{Name: name, IMAPAddress: name + ".example.org:993"})
			}
			for _, l := range []site.Link{{Name: "dr", Source: "prod", Target: "site"}, {Name: "first", Source: "prod", Target: "middle"},
				{Name: "second", Source: "middle", Target: "end"}, {Name: "third", Source: "bare", Target: "leaf"}} {
				if err := repo.AddLink(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			records.LeaseRefused = test.refused
			for _, store := range []string{"prod", "site", "middle", "leaf", "spare"} {
				m := directory.DefaultMapping()
				m.BaseDN = "ou=mailboxes,o=" + store
				if store == "prod" {
					m.Names[directory.Misc4] = ""
				}
				if err := records.PutDirectoryStore(t.Context(), site.Directory{Store: store, Mapping: m}); err != nil {
					t.Fatal(err)
				}
			}
			under := ""
			servers := &controltest.Servers{
				Reports:     map[string]verdict.Store{test.store: {}},
				Directories: map[string]verdict.Directory{test.store: {Faults: test.faults}},
				Rights:      map[string]verdict.Rights{test.store: {Writable: []string{"cn"}, TriedOn: "cn=Ann", Faults: []string{"sn may not be written"}, Advice: []string{"one thing is not known"}}},
				OnRights: func(ctx context.Context, store string, columns []directory.Column) error {
					under = records.Leased
					if _, bounded := ctx.Deadline(); !bounded || store != test.store {
						t.Errorf("store %s is tried, within a time: %v", store, bounded)
					}
					if len(columns) != len(directory.Attributes())-1 || slices.Contains(columns, directory.Misc4) {
						t.Errorf("tried are %q, want all that production has, too", columns)
					}
					return test.broken
				},
			}
			times := lease.Times{TTL: 5 * time.Second, Fence: time.Minute}
			c := storecheck.Checker{Records: controltest.CheckRecords{Memory: repo, Directory: records}, Servers: servers, Lease: times}
			whole, err := c.Check(t.Context(), test.store, "")
			r := whole.Directory
			if r == nil || (err != nil) != test.fails {
				t.Fatalf("%v, %v", r, err)
			}
			if under != test.under || records.Leased != "" || (len(records.EndedUnclean) > 0) != test.unclean {
				t.Errorf("tried under the lease of %q; that of %q is held still, %q were not ended cleanly", under, records.Leased, records.EndedUnclean)
			}
			if test.under != "" && records.LeasedFor != times {
				t.Errorf("leased for %+v, want %+v", records.LeasedFor, times)
			}
			writable, faults, on := []string(nil), test.faults, ""
			if test.under != "" {
				writable, faults, on = []string{"cn"}, []string{"sn may not be written"}, "cn=Ann"
			}
			if diff := cmp.Diff([][]string{writable, faults, {on}}, [][]string{r.Writable, r.Faults, {r.TriedOn}}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if said := strings.Join(r.Advice, "; "); (test.advice == "") != (said == "") || !strings.Contains(said, test.advice) {
				t.Errorf("advice %q, want %q", said, test.advice)
			}
		})
	}
}
