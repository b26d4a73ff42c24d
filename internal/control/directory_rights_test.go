package control_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/copier"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

// The right to write is tried of what a link has as its target, under the lease of
// a run, and of nothing else: least of all of production.
func TestCheckDirectoryTriesRightsOfATargetAlone(t *testing.T) {
	for name, test := range map[string]struct {
		store   string
		refused error
		faults  []string
		tried   bool
		advice  string
	}{
		"the target":      {store: "site", tried: true, advice: "one thing is not known"},
		"the source":      {store: "prod"},
		"of no link":      {store: "spare", advice: "target of no link yet"},
		"suspended":       {store: "site", refused: fault.New(fault.Conflict, "take lease", &copier.SuspendedError{}, ""), advice: "suspended"},
		"during a run":    {store: "site", refused: fault.New(fault.Conflict, "take lease", &copier.LeaseHeldError{}, ""), advice: "written to at this moment"},
		"with faults":     {store: "site", faults: []string{"no schema"}},
		"both of two":     {store: "middle", tried: true, advice: "one thing is not known"},
		"a broken record": {store: "site", refused: fault.Newf(fault.Transient, "the database is away")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.link(t, "dr", "prod", "site")
			w.link(t, "first", "prod", "middle")
			w.link(t, "second", "middle", "end")
			w.store(t, "spare")
			records := controltest.NewDirectory(func() time.Time { return w.now })
			records.LeaseRefused = test.refused
			m := directory.DefaultMapping()
			m.BaseDN = "ou=mailboxes"
			if err := records.PutDirectoryStore(t.Context(), control.DirectoryStore{Store: test.store, Mapping: m}); err != nil {
				t.Fatal(err)
			}
			tried := false
			checker := &controltest.DirectoryChecker{
				Reports: map[string]control.DirectoryReport{test.store: {Faults: test.faults}},
				Rights:  map[string]control.DirectoryRights{test.store: {Writable: []string{"cn"}, TriedOn: "cn=Ann", Faults: []string{"sn may not be written"}, Advice: []string{"one thing is not known"}}},
				OnRights: func(ctx context.Context, store string) {
					tried = true
					if _, bounded := ctx.Deadline(); records.Leased == "" || !bounded || store != test.store {
						t.Errorf("store %s is tried under the lease of %q, within a time: %v", store, records.Leased, bounded)
					}
				},
			}
			c := control.New(control.Ports{Repository: w.repo, Runner: w.runner, Records: records, DirectoryChecker: checker}, control.Options{})
			r, has, err := c.CheckDirectory(t.Context(), test.store)
			if !has || fault.Is(err, fault.Transient) != fault.Is(test.refused, fault.Transient) {
				t.Fatalf("%v, %v", has, err)
			}
			if tried != test.tried || (r.TriedOn == "cn=Ann") != test.tried || records.Leased != "" {
				t.Errorf("tried: %v; the lease of %q is held", tried, records.Leased)
			}
			writable, faults := []string(nil), test.faults
			if test.tried {
				writable, faults = []string{"cn"}, []string{"sn may not be written"}
			}
			if diff := cmp.Diff([][]string{writable, faults}, [][]string{r.Writable, r.Faults}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if said := strings.Join(r.Advice, "; "); (test.advice == "") != (said == "") || !strings.Contains(said, test.advice) {
				t.Errorf("advice %q, want %q", said, test.advice)
			}
		})
	}
}
