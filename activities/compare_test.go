package activities_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/background"
	"mailmirror/internal/site"
)

// TestPlanPages: where both stores tell of all mailboxes at once, those that
// are settled go into long pages.
func TestPlanPages(t *testing.T) {
	numbers := activitytest.Numbers(30)
	for _, test := range []struct {
		name           string
		source, target *overviewer
		want           []activities.Page
	}{
		{"both see all", &overviewer{}, &overviewer{}, []activities.Page{
			{Last: numbers[9]}, {After: numbers[9], Last: numbers[29]},
		}},
		{"one sees none", &overviewer{}, &overviewer{err: errors.ErrUnsupported}, []activities.Page{
			{Last: numbers[9]}, {After: numbers[9], Last: numbers[19]}, {After: numbers[19], Last: numbers[29]},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			world := activitytest.New()
			world.Add(link, numbers...)
			world.Settle(link, numbers[10:]...)
			world.LinkStores = activities.LinkStores{Source: test.source, Target: test.target}
			got, err := quick(world).PlanPages(t.Context(), activities.PlanInput{Link: link, PageSize: 10, Pages: 5})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
		})
	}
}

// signs keeps the last sign of life of each loop.
type signs map[background.Loop]background.Sign

func (s signs) BeginLoop(context.Context, background.Sign) error { return nil }

func (s signs) EndLoop(_ context.Context, sign background.Sign) error {
	s[sign.Loop] = sign
	return nil
}

// TestFinishCompare: why a compare or a rebuild broke off is recorded against its
// link, until the next one of its kind went through.
func TestFinishCompare(t *testing.T) {
	for kind, loop := range map[site.RunKind]background.Loop{"": background.LoopCompare, site.RunRebuild: background.LoopRebuild} {
		world, recorded := activitytest.New(), signs{}
		world.PutLink(link)
		for _, id := range []string{"r", "s"} {
			if err := world.StartCompare(t.Context(), site.CompareRun{RunID: id, Link: link, Kind: kind}); err != nil {
				t.Fatal(err)
			}
		}
		acts := activities.New(activities.Ports{Compares: world, Signs: recorded}, activities.Settings{})
		end := activities.FinishInput{RunID: "r", Link: link, Kind: kind, ErrorKind: "config", Error: "the password does not open", Hint: "enter it again"}
		for range 2 {
			if err := acts.FinishCompare(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		got := recorded[loop]
		if got.Item != link || got.Link != link || got.ErrorKind != "config" || got.Error != end.Error || got.Hint != end.Hint {
			t.Errorf("%q is recorded as %+v", kind, got)
		}
		if err := acts.FinishCompare(t.Context(), activities.FinishInput{RunID: "s", Link: link, Kind: kind}); err != nil || recorded[loop].Error != "" {
			t.Errorf("%q went through and is recorded as %+v, %v", kind, recorded[loop], err)
		}
	}
}
