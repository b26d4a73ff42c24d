package activities_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
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
