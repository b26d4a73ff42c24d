package supervise_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/supervise"
	"mailmirror/internal/suspension"
	"mailmirror/test/logged"
)

// installation is a database and a Temporal in memory.
type installation struct {
	links     []string
	claimed   bool // by another worker
	still     bool
	running   map[string]bool // workflows
	schedules []site.ScheduleInfo
	fails     map[string]error // by what is started
	signs     map[string]background.Sign
	due       map[string]time.Time
	restarts  []string
	begun     []string
	events    []audit.Entry
	restored
}

func newInstallation(links ...string) *installation {
	i := &installation{links: links, restored: restored{proof: suspension.Proof{Confirmed: true, LinksConfirmed: true}}, running: map[string]bool{"control": true}, fails: map[string]error{},
		signs: map[string]background.Sign{}, due: map[string]time.Time{}}
	i.schedules = []site.ScheduleInfo{{Name: "sweep", Exists: true}, {Name: "retention", Exists: true}}
	for _, l := range links {
		i.running[l] = true
		i.schedules = append(i.schedules, site.ScheduleInfo{Name: "full-compare/" + l, Link: l, Exists: true})
	}
	return i
}

func (i *installation) ClaimSupervision(context.Context, string, time.Duration) (bool, error) {
	return !i.claimed, nil
}

func (i *installation) EndLoop(_ context.Context, s background.Sign) error {
	i.signs[strings.TrimSpace(string(s.Loop)+" "+s.Item)] = s
	return nil
}

func (i *installation) BeginLoop(_ context.Context, s background.Sign) error {
	i.begun = append(i.begun, strings.TrimSpace(string(s.Loop)+" "+s.Item))
	return nil
}

func (i *installation) NoteRestart(_ context.Context, s background.Sign) error {
	i.restarts = append(i.restarts, strings.TrimSpace(string(s.Loop)+" "+s.Item))
	return nil
}

func (i *installation) NoteSchedule(_ context.Context, info site.ScheduleInfo, due time.Time) error {
	i.due[info.Name] = due
	return nil
}

func (i *installation) Links(context.Context) ([]site.Link, error) {
	var links []site.Link
	for _, l := range i.links {
		links = append(links, site.Link{Name: l})
	}
	return links, nil
}

func (i *installation) Suspensions(context.Context) (suspension.Scopes, error) {
	if i.still {
		return suspension.Scopes{{State: suspension.Suspended}}, nil
	}
	return suspension.Scopes{{State: suspension.Running}}, nil
}

func (i *installation) SuspensionProof(context.Context) (suspension.Proof, error) {
	return i.proof, nil
}

func (i *installation) Record(_ context.Context, e *audit.Entry) error {
	i.events = append(i.events, *e)
	return nil
}

func (i *installation) revive(what string) (bool, error) {
	if err := i.fails[what]; err != nil {
		return false, err
	}
	started := !i.running[what]
	i.running[what] = true
	return started, nil
}

func (i *installation) ReviveControl(_ context.Context, link string) (bool, error) {
	return i.revive(strings.TrimSpace("control " + link))
}

func (i *installation) ReviveWatch(_ context.Context, link string) (bool, error) {
	return i.revive(link)
}

func (i *installation) Schedules(context.Context, []string) ([]site.ScheduleInfo, error) {
	return i.schedules, i.fails["schedules"]
}

func (i *installation) ApplySchedule(_ context.Context, name string, _ []string) error {
	if err := i.fails[name]; err != nil {
		return err
	}
	for n := range i.schedules {
		if i.schedules[n].Name == name {
			i.schedules[n].Exists, i.schedules[n].Paused, i.schedules[n].Suspended = true, i.still, i.still
		}
	}
	return nil
}

func (i *installation) PauseReasoned(note string) bool { return strings.HasPrefix(note, "paused by") }

func (i *installation) schedule(name string) *site.ScheduleInfo {
	n := slices.IndexFunc(i.schedules, func(s site.ScheduleInfo) bool { return s.Name == name })
	return &i.schedules[n]
}

// failing lists what is recorded as failing.
func (i *installation) failing() string {
	var list []string
	for name, s := range i.signs {
		if s.Error != "" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestWhatHasEndedIsStartedAgain(t *testing.T) {
	rejected := fault.Newf(fault.Config, "rejected")
	for name, c := range map[string]struct {
		change             func(*installation)
		restarts, failing  string
		fails              bool
		notSuspendedAtLast string
	}{
		"all is well":              {change: func(*installation) {}},
		"another worker looks":     {change: func(i *installation) { i.claimed = true; i.running["b"] = false }},
		"listening of a link":      {change: func(i *installation) { i.running["b"] = false }, restarts: "listening b"},
		"mirror control":           {change: func(i *installation) { i.running["control"] = false }, restarts: "suspension control"},
		"the sweep's schedule":     {change: func(i *installation) { i.schedule("sweep").Exists = false }, restarts: "schedule sweep"},
		"a link's schedule":        {change: func(i *installation) { i.schedule("full-compare/c").Exists = false }, restarts: "schedule full-compare/c"},
		"one link cannot be heard": {change: func(i *installation) { i.fails["a"] = rejected; i.running["c"] = false }, restarts: "listening c", failing: "listening a"},
		"one schedule is rejected": {change: func(i *installation) {
			i.fails["full-compare/a"] = rejected
			i.schedule("full-compare/a").Exists, i.schedule("full-compare/b").Exists = false, false
		}, restarts: "schedule full-compare/b", failing: "schedule full-compare/a"},
		"the sweep is paused":    {change: func(i *installation) { i.schedule("sweep").Paused, i.schedule("sweep").Note = true, "paused by bob" }, failing: "schedule sweep"},
		"paused by an operator":  {change: func(i *installation) { s := i.schedule("full-compare/a"); s.Paused, s.Note = true, "paused by bob" }},
		"paused without reason":  {change: func(i *installation) { i.schedule("full-compare/a").Paused = true }, failing: "schedule full-compare/a"},
		"paused by a suspension": {change: func(i *installation) { i.still = true; s := i.schedule("sweep"); s.Paused, s.Suspended = true, true }},
		"forgotten by a resumption": {change: func(i *installation) { s := i.schedule("sweep"); s.Paused, s.Suspended = true, true },
			notSuspendedAtLast: "sweep"},
		"Temporal is away": {change: func(i *installation) { i.fails["control"] = fault.Newf(fault.Transient, "unavailable") },
			fails: true, failing: "supervision"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation("a", "b", "c")
			c.change(i)
			said := &logged.Log{}
			err := supervise.New(i, i, i, supervise.Options{Worker: "1@one", Log: said.Logger()}).Look(t.Context())
			if (err != nil) != c.fails {
				t.Errorf("ended with %v", err)
			}
			if got := strings.Join(i.restarts, ", "); got != c.restarts {
				t.Errorf("started again: %q, want %q", got, c.restarts)
			}
			said.Want(t, "started what did not run", len(i.restarts))
			if len(i.events) != len(i.restarts) {
				t.Errorf("events %+v", i.events)
			}
			if got := i.failing(); got != c.failing {
				t.Errorf("failing: %q, want %q", got, c.failing)
			}
			if c.notSuspendedAtLast != "" && i.schedule(c.notSuspendedAtLast).Paused {
				t.Error("it is still paused")
			}
			if !i.claimed && i.signs["supervision"].Worker != "1@one" {
				t.Errorf("no sign of life: %+v", i.signs)
			}
			// What was started runs; nothing is started twice.
			before := len(i.restarts)
			if err := supervise.New(i, i, i, supervise.Options{}).Look(t.Context()); (err != nil) != c.fails || len(i.restarts) != before {
				t.Errorf("the second look: %v, %v", err, i.restarts)
			}
		})
	}
}

// TestLoopsOfAWorkerAreShown: each worker records what fails in itself, also where
// another one looks after the rest.
func TestLoopsOfAWorkerAreShown(t *testing.T) {
	i := newInstallation("a")
	i.claimed = true
	var since time.Time
	var trouble error
	s := supervise.New(i, i, i, supervise.Options{Worker: "1@one", Own: []supervise.Own{
		{Loop: background.LoopLogins, Failing: func() (time.Time, error) { return time.Time{}, nil }},
		{Loop: background.LoopShares, Failing: func() (time.Time, error) { return since, trouble }},
	}})
	look := func(step, failing string, begun int) {
		t.Helper()
		if err := s.LookAtOwn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := i.failing(); got != failing || len(i.begun) != begun {
			t.Errorf("%s: failing %q, want %q; recorded %v", step, got, failing, i.begun)
		}
	}
	look("all is well", "", 0)
	since, trouble = time.Now(), fault.Newf(fault.Config, "no such table")
	look("for a moment", "", 0)
	since = time.Now().Add(-time.Minute)
	look("for a minute", "shares of load 1@one", 1)
	look("and still", "shares of load 1@one", 2)
	since, trouble = time.Time{}, nil
	look("well again", "", 2)
	if len(i.signs) != 1 {
		t.Errorf("recorded %v", i.signs)
	}
}

func TestTheNextRunIsNoted(t *testing.T) {
	i := newInstallation("a")
	now := time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)
	i.schedule("sweep").Next = []time.Time{now.Add(2 * time.Minute), now.Add(time.Minute)}
	i.schedule("full-compare/a").Next, i.schedule("full-compare/a").Running = []time.Time{now}, true
	if err := supervise.New(i, i, i, supervise.Options{}).Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := i.due["sweep"]; !got.Equal(now.Add(time.Minute)) {
		t.Errorf("due %v", got)
	}
	if !i.due["full-compare/a"].IsZero() {
		t.Error("a run is due that goes on")
	}
}

// TestRunLooksAgain: the loop goes on after whatever happened.
func TestRunLooksAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i := newInstallation("a")
	i.fails["control"] = errors.New("odd")
	looks := 0
	counted := &counting{installation: i, look: func() {
		if looks++; looks == 3 {
			cancel()
		}
	}}
	supervise.New(counted, i, i, supervise.Options{Every: 3 * time.Millisecond}).Run(ctx)
	if looks < 3 {
		t.Errorf("looked %d times", looks)
	}
}

type counting struct {
	*installation
	look func()
}

func (c *counting) ClaimSupervision(context.Context, string, time.Duration) (bool, error) {
	c.look()
	return true, nil
}
