package supervise_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/fault"
	"mailmirror/internal/supervise"
	"mailmirror/internal/suspension"
	"mailmirror/test/logged"
)

// restored is what the database and MirrorControl know of it.
type restored struct {
	proof suspension.Proof
	view  suspension.Suspension
	known map[string]suspension.Suspension // of links
	away  error
	did   []string
}

func (s *restored) ConfirmSuspension(_ context.Context, p suspension.Proof, lease time.Duration) error {
	s.did = append(s.did, "confirm "+p.Mark)
	s.proof.Confirmed, s.proof.LeaseTime, s.row("").Unconfirmed = true, lease, false
	return nil
}

// row is that of a scope, which is made if it is missing.
func (s *restored) row(link string) *suspension.Suspension {
	for i := range s.proof.Rows {
		if s.proof.Rows[i].Link == link {
			return &s.proof.Rows[i]
		}
	}
	s.proof.Rows = append(s.proof.Rows, suspension.Suspension{Link: link, State: suspension.Running})
	return &s.proof.Rows[len(s.proof.Rows)-1]
}

func (s *restored) note(what, link string) {
	if link != "" {
		what += " of " + link
	}
	s.did = append(s.did, what)
}

func (s *restored) ConfirmLinks(context.Context, suspension.Proof) error {
	s.did = append(s.did, "confirm links")
	s.proof.LinksConfirmed = true
	return nil
}

func (s *restored) Suspend(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	s.note("suspend "+r.Who, r.Link)
	if r.Link == "" {
		s.proof.Confirmed = true
	}
	*s.row(r.Link) = suspension.Suspension{Link: r.Link, State: suspension.Suspending, Epoch: 1000, Who: r.Who, Reason: r.Reason}
	return *s.row(r.Link), nil
}

func (s *restored) ControlView(_ context.Context, link string) (suspension.Suspension, error) {
	if link != "" {
		return s.known[link], s.away
	}
	return s.view, s.away
}

func (s *restored) AskSuspend(_ context.Context, r suspension.Request) error {
	s.note("ask suspend", r.Link)
	s.learn(r.Link)
	return nil
}

func (s *restored) AskResume(_ context.Context, r suspension.Request) error {
	s.note("ask resume", r.Link)
	s.learn(r.Link)
	return nil
}

func (s *restored) learn(link string) {
	if link == "" {
		s.view = *s.row("")
	} else {
		s.known[link] = *s.row(link)
	}
}

// said is what is shown of the suspension.
func (i *installation) said() background.Sign {
	if s := i.signs["suspension"]; s.Error != "" {
		return s
	}
	return i.signs["suspension undecided"]
}

// TestWhatIsDecidedIsSaidNoMore: Temporal was away when the database was started again,
// and an operator suspends the mirror. Once Temporal answers nothing is wrong, although
// the mirror is still suspended.
func TestWhatIsDecidedIsSaidNoMore(t *testing.T) {
	i := newInstallation("a")
	i.restored = restored{away: fault.Newf(fault.Transient, "unavailable"), proof: suspension.Proof{Mark: "m", Used: true, LinksConfirmed: true,
		Rows: suspension.Scopes{{State: suspension.Running, Epoch: 3, Unconfirmed: true}}}}
	s := supervise.New(i, i, i, supervise.Options{Worker: "1@one"})
	look := func() {
		t.Helper()
		if err := s.LookAtSuspension(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if look(); !strings.Contains(i.said().Error, "NOTHING IS WRITTEN") {
		t.Fatalf("says %q while Temporal is away", i.said().Error)
	}
	if _, err := i.Suspend(t.Context(), suspension.Request{Who: "alice"}); err != nil {
		t.Fatal(err)
	}
	i.away, i.view, i.still = nil, *i.row(""), true
	if look(); i.said().Error != "" {
		t.Errorf("says %q once it is decided", i.said().Error)
	}
}

// TestNoSuspensionIsLostWithTheDatabase: what each side knows, and what comes of it. If
// either says suspended, the mirror is.
func TestNoSuspensionIsLostWithTheDatabase(t *testing.T) {
	since := time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)
	running := suspension.Suspension{State: suspension.Running, Epoch: 3}
	unconfirmed := suspension.Suspension{State: suspension.Running, Epoch: 3, Unconfirmed: true}
	suspended := suspension.Suspension{State: suspension.Suspended, Epoch: 4, Who: "alice", Reason: "storage", Since: since}
	resumed := suspension.Suspension{State: suspension.Running, Epoch: 5}
	for name, c := range map[string]struct {
		row, known suspension.Suspension
		confirmed  bool
		unused     bool
		away       error
		did        string
		still      bool
		says       []string
	}{
		"all is well":                             {row: running, known: running, confirmed: true},
		"restored to before the suspension":       {row: unconfirmed, known: suspended, did: "suspend alice, ask suspend", still: true, says: []string{"did not know of the suspension", "alice: storage", "2026-03-04T03:00:00Z", "written again"}},
		"restored, and Temporal says running":     {row: unconfirmed, known: running, did: "confirm m"},
		"resumed since, and restored":             {row: suspended, known: resumed, did: "confirm m, ask suspend", still: true, says: []string{"alice: storage", "stays suspended"}},
		"started again while suspended":           {row: suspended, known: suspended, did: "confirm m", still: true},
		"Temporal is away":                        {row: unconfirmed, away: fault.Newf(fault.Transient, "unavailable"), still: true, says: []string{"NOTHING IS WRITTEN", "unavailable"}},
		"Temporal is away, and it is suspended":   {row: suspended, away: fault.Newf(fault.Transient, "unavailable"), did: "confirm m", still: true},
		"Temporal knows nothing":                  {row: unconfirmed, still: true, says: []string{"does not know either"}},
		"MirrorControl does not know either":      {row: unconfirmed, known: unconfirmed, still: true, says: []string{"does not know either"}},
		"a new installation":                      {row: unconfirmed, known: unconfirmed, unused: true, did: "confirm m, ask resume"},
		"Temporal restored to before":             {row: suspended, known: running, confirmed: true, did: "ask suspend", still: true},
		"Temporal restored to the suspension":     {row: resumed, known: suspended, confirmed: true, did: "ask resume"},
		"the row was put back by hand":            {row: running, known: suspended, confirmed: true, did: "suspend alice, ask suspend", still: true, says: []string{"written again"}},
		"MirrorControl has not read the row yet":  {row: suspended, confirmed: true, still: true},
		"suspended, and MirrorControl is unasked": {row: suspended, confirmed: true, away: fault.Newf(fault.Transient, "unavailable"), still: true},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation("a")
			i.restored = restored{view: c.known, away: c.away,
				proof: suspension.Proof{Rows: suspension.Scopes{c.row}, Confirmed: c.confirmed, LinksConfirmed: true, Mark: "m", Used: !c.unused}}
			i.still = c.row.Still()
			log := &logged.Log{}
			s := supervise.New(i, i, i, supervise.Options{Worker: "1@one", Log: log.Logger()})
			for range 2 { // the second time finds nothing more to do
				if err := s.LookAtSuspension(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(i.did, ", "); got != c.did {
				t.Errorf("did %q, want %q", got, c.did)
			}
			if got := i.row("").Still(); got != c.still {
				t.Errorf("suspended: %v, want %v", got, c.still)
			}
			log.Want(t, "the database was started again or restored, and lacks no suspension", strings.Count(c.did, "confirm m"))
			sign := i.said()
			if (sign.Error != "") != (c.says != nil) || c.says != nil && sign.Hint == "" {
				t.Errorf("says %q, hint %q", sign.Error, sign.Hint)
			}
			for _, words := range c.says {
				if !strings.Contains(sign.Error, words) {
					t.Errorf("says %q without %q", sign.Error, words)
				}
			}
			if strings.HasPrefix(c.did, "suspend") != slices.ContainsFunc(i.events, func(e audit.Entry) bool { return e.Command == "suspension restored" }) {
				t.Errorf("events %+v", i.events)
			}
		})
	}
}

// TestTheLongestLeaseIsNoted: the row says for how long a write may land under a lease
// of any worker.
func TestTheLongestLeaseIsNoted(t *testing.T) {
	i := newInstallation("a")
	i.proof.LeaseTime, i.proof.Mark = 17*time.Second, "m"
	for _, lease := range []time.Duration{17 * time.Second, 5 * time.Minute, time.Minute} {
		if err := supervise.New(i, i, i, supervise.Options{Lease: lease}).LookAtSuspension(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if i.proof.LeaseTime != 5*time.Minute || len(i.did) != 1 {
		t.Errorf("noted %s by %v", i.proof.LeaseTime, i.did)
	}
}

// TestNoLinkSuspensionIsLostWithTheDatabase: a link is suspended by itself, and the
// database goes back to before that. It gives no lease before Temporal was asked about
// every link.
func TestNoLinkSuspensionIsLostWithTheDatabase(t *testing.T) {
	running := suspension.Suspension{Link: "dr", State: suspension.Running}
	suspended := suspension.Suspension{Link: "dr", State: suspension.Suspended, Epoch: 7, Who: "alice"}
	resumed := suspension.Suspension{Link: "dr", State: suspension.Running, Epoch: 9}
	for name, c := range map[string]struct {
		row, known suspension.Suspension
		confirmed  bool
		away       error
		did        string
		still      bool
		says       string
	}{
		"never suspended":             {row: running, known: running, did: "confirm links"},
		"restored to before":          {row: running, known: suspended, did: "suspend alice of dr, ask suspend of dr, confirm links", still: true, says: "link dr stays suspended"},
		"resumed since":               {row: suspended, known: resumed, did: "confirm links, ask suspend of dr", still: true},
		"another link of its name":    {row: suspension.Suspension{Link: "dr", State: suspension.Running, Epoch: 8}, known: suspended, confirmed: true, did: "ask resume of dr"},
		"the row knows its end":       {row: resumed, known: suspended, did: "confirm links, ask resume of dr"},
		"Temporal is away":            {row: running, away: fault.Newf(fault.Transient, "unavailable"), says: "whether link dr is suspended"},
		"put back by hand":            {row: running, known: suspended, confirmed: true, did: "suspend alice of dr, ask suspend of dr", still: true, says: "written again"},
		"all is well":                 {row: suspended, known: suspended, confirmed: true, still: true},
		"Temporal restored to before": {row: suspended, known: running, confirmed: true, did: "ask suspend of dr", still: true},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation("a")
			everything := suspension.Suspension{State: suspension.Running, Epoch: 3}
			i.restored = restored{view: everything, known: map[string]suspension.Suspension{"dr": c.known}, away: c.away,
				proof: suspension.Proof{Rows: suspension.Scopes{everything, c.row}, Confirmed: true, LinksConfirmed: c.confirmed, Used: true}}
			s := supervise.New(i, i, i, supervise.Options{Worker: "1@one"})
			for range 2 {
				if err := s.LookAtSuspension(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(i.did, ", "); got != c.did {
				t.Errorf("did %q, want %q", got, c.did)
			}
			if got := i.row("dr").Still(); got != c.still {
				t.Errorf("suspended: %v, want %v", got, c.still)
			}
			if i.running["control dr"] != c.still {
				t.Errorf("LinkControl runs: %v", i.running["control dr"])
			}
			sign := i.signs["suspension link dr"]
			if c.away != nil {
				sign = i.signs["suspension undecided link dr"]
			}
			if (sign.Error != "") != (c.says != "") || !strings.Contains(sign.Error, c.says) || c.says != "" && sign.Hint == "" {
				t.Errorf("says %q, hint %q, want %q", sign.Error, sign.Hint, c.says)
			}
		})
	}
}
