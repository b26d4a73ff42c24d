package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/audit"
	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// world is a Control with everything around it in memory.
type world struct {
	*control.Control
	repo     *controltest.Memory
	runner   *controltest.Runner
	verifier *controltest.Verifier
	now      time.Time
}

// alice has every role.
var alice = audit.Actor{Name: "alice", Roles: audit.AllRoles(), Way: audit.CLI}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		runner: &controltest.Runner{}, verifier: &controltest.Verifier{},
		now: time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC),
	}
	w.repo = controltest.NewMemory(func() time.Time { return w.now })
	w.Control = control.New(controltest.Ports(w.repo, nil, w.runner), control.Options{Now: func() time.Time { return w.now }}).As(alice)
	controltest.Work(w.runner, w.repo, nil, w.verifier)
	return w
}

func (w *world) store(t *testing.T, name string) {
	t.Helper()
	_, err := w.AddStore(t.Context(), aStore(name), seal.NewSecret("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) link(t *testing.T, name, source, target string) {
	t.Helper()
	for _, s := range []string{source, target} {
		if _, err := w.Store(t.Context(), s); err != nil {
			w.store(t, s)
		}
	}
	if _, err := w.AddLink(t.Context(), site.Link{Name: name, Source: source, Target: target}); err != nil {
		t.Fatal(err)
	}
}

func aStore(name string) site.Store {
	return site.Store{
		Name: name, IMAPAddress: name + ".example.org:993", Security: site.SecurityTLS,
		Login: site.LoginAuthzid, TrustedName: "mirror",
	}
}

func TestAddStoreSealsThePasswordUnderTheStore(t *testing.T) {
	w := newWorld(t)
	s := aStore("prod")
	s.Login = site.LoginSeparator
	got, err := w.AddStore(t.Context(), s, seal.NewSecret("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got.SealedPassword) != "sealed for store/prod/trusted_password: 2retnuh" {
		t.Errorf("sealed password: %q", got.SealedPassword)
	}
	if got.Separator != "*" || !cmp.Equal(got.Greetings, mailbox.DefaultGreetings) {
		t.Errorf("defaults: separator %q, greetings %q", got.Separator, got.Greetings)
	}
}

func TestAddStoreReportsEveryFault(t *testing.T) {
	w := newWorld(t)
	_, err := w.AddStore(t.Context(), site.Store{
		Name: "a/b", IMAPAddress: "host", Security: "ssl", Login: "plain", Separator: "**",
		Greetings: mailbox.Patterns{"[x"}, MinimumRelease: "two", TrustedName: "a\nb",
	}, seal.Secret{})
	if _, ok := errors.AsType[*control.InputError](err); !ok || !fault.Is(err, fault.Config) {
		t.Fatalf("want an InputError that is a Config fault, got %T: %v", err, err)
	}
	for _, want := range []string{"imap address", "imap security", "login", "trusted name", "[x", "minimum release", "store name", "trusted password"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestStoreSettings(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*site.Store)
		want   string // part of the error; "" means accepted
	}{
		{"as it is", func(*site.Store) {}, ""},
		{"port 0", func(s *site.Store) { s.IMAPAddress = "h:0" }, "no port"},
		{"no host", func(s *site.Store) { s.IMAPAddress = ":993" }, "want HOST:PORT"},
		{"IPv6", func(s *site.Store) { s.IMAPAddress = "[::1]:993" }, ""},
		{"CA without TLS", func(s *site.Store) { s.Security, s.CAFile = site.SecurityNone, "/ca" }, "no meaning"},
		{"separator with authzid", func(s *site.Store) { s.Separator = "*" }, "no meaning with login authzid"},
		{"separator in the name", func(s *site.Store) { s.Login, s.TrustedName = site.LoginSeparator, "a*b" }, "must not hold the separator"},
		{"blank separator", func(s *site.Store) { s.Login, s.Separator = site.LoginSeparator, " " }, "printable"},
		{"release", func(s *site.Store) { s.MinimumRelease = "2.3.19" }, ""},
		{"release with dots only", func(s *site.Store) { s.MinimumRelease = "2..3" }, "minimum release"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := aStore("prod")
			test.change(&s)
			_, err := newWorld(t).AddStore(t.Context(), s, seal.NewSecret("x"))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

func TestEditStoreChangesOnlyWhatIsGiven(t *testing.T) {
	w := newWorld(t)
	w.store(t, "prod")
	before, _ := w.Store(t.Context(), "prod")
	login, release := site.LoginSeparator, "2.3"
	after, err := w.EditStore(t.Context(), "prod", control.StoreEdit{Login: &login, MinimumRelease: &release})
	if err != nil {
		t.Fatal(err)
	}
	want := before
	want.Login, want.Separator, want.MinimumRelease = site.LoginSeparator, "*", "2.3"
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	login = site.LoginAuthzid
	if after, err = w.EditStore(t.Context(), "prod", control.StoreEdit{Login: &login}); err != nil || after.Separator != "" {
		t.Errorf("back to authzid: separator %q, %v", after.Separator, err)
	}
	password := seal.NewSecret("new")
	if after, err = w.EditStore(t.Context(), "prod", control.StoreEdit{Password: &password}); err != nil || !strings.HasSuffix(string(after.SealedPassword), "wen") {
		t.Errorf("password: %q, %v", after.SealedPassword, err)
	}
}

func TestTwoEndsOfALinkAreTwoServers(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	same := "PROD.example.org:993"
	if _, err := w.EditStore(t.Context(), "site", control.StoreEdit{IMAPAddress: &same}); err == nil || !strings.Contains(err.Error(), "same server") {
		t.Errorf("an edit that makes both ends one server: %v", err)
	}
	alias := aStore("alias")
	alias.IMAPAddress = same
	if _, err := w.AddStore(t.Context(), alias, seal.NewSecret("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddLink(t.Context(), site.Link{Name: "loop", Source: "prod", Target: "alias"}); err == nil || !strings.Contains(err.Error(), "same server") {
		t.Errorf("a link of a server with itself: %v", err)
	}
	_, err := w.AddLink(t.Context(), site.Link{Name: "self", Source: "prod", Target: "prod"})
	if _, ok := errors.AsType[*control.InputError](err); !ok {
		t.Errorf("a link of a store with itself: %v", err)
	}
	if _, err := w.AddLink(t.Context(), site.Link{Name: "x", Source: "prod", Target: "nowhere"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a link to an unknown store: %v", err)
	}
}

func TestLinkAndItsSchedulesComeAndGoTogether(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	if !w.runner.HasSchedules("dr") {
		t.Error("the link has no schedules")
	}
	w.runner.SchedulesFault = fault.Newf(fault.Transient, "temporal is away")
	if err := w.RemoveLink(t.Context(), "dr"); err == nil {
		t.Error("removed although its schedules stay")
	}
	if _, err := w.Link(t.Context(), "dr"); err != nil {
		t.Errorf("the link is gone and its schedules are not: %v", err)
	}
	if _, err := w.AddLink(t.Context(), site.Link{Name: "two", Source: "prod", Target: "site"}); !fault.Is(err, fault.Transient) {
		t.Errorf("want Temporal's fault, got %v", err)
	}
	if _, err := w.Link(t.Context(), "two"); err == nil {
		t.Error("a link without schedules was left behind")
	}
	w.runner.SchedulesFault = nil
	if err := w.RemoveLink(t.Context(), "dr"); err != nil || w.runner.HasSchedules("dr") {
		t.Errorf("remove: %v, schedules %v", err, w.runner.HasSchedules("dr"))
	}
}

func TestMailboxHasOneWriterAndOneDirection(t *testing.T) {
	type add struct {
		link   string
		number mailbox.Number
		want   string // part of the refusal
	}
	for _, test := range []struct {
		name  string
		links [][3]string
		adds  []add
	}{
		{"two targets from one source", [][3]string{{"a", "prod", "dr1"}, {"b", "prod", "dr2"}}, []add{{"a", "1", ""}, {"b", "1", ""}}},
		{"two writers", [][3]string{{"a", "p1", "dr"}, {"b", "p2", "dr"}}, []add{{"a", "1", ""}, {"b", "1", "by link a already"}, {"b", "2", ""}}},
		{"the same pair twice", [][3]string{{"a", "p", "dr"}, {"b", "p", "dr"}}, []add{{"a", "1", ""}, {"b", "1", "by link a already"}}},
		{"dual active", [][3]string{{"a", "x", "y"}, {"b", "y", "x"}}, []add{{"a", "1", ""}, {"b", "2", ""}, {"b", "1", "mirrored back"}, {"a", "2", "mirrored back"}}},
		{"chain", [][3]string{{"a", "x", "y"}, {"b", "y", "z"}}, []add{{"a", "1", ""}, {"b", "1", ""}}},
		{"circle of three", [][3]string{{"a", "x", "y"}, {"b", "y", "z"}, {"c", "z", "x"}}, []add{{"a", "1", ""}, {"b", "1", ""}, {"c", "1", "mirrored back"}, {"c", "2", ""}, {"a", "2", ""}, {"b", "2", "mirrored back"}}},
		{"again", [][3]string{{"a", "x", "y"}}, []add{{"a", "1", ""}, {"a", "1", ""}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			for _, l := range test.links {
				w.link(t, l[0], l[1], l[2])
			}
			for _, a := range test.adds {
				_, err := w.AddMailboxes(t.Context(), a.link, []mailbox.Number{a.number})
				switch {
				case a.want == "" && err != nil:
					t.Errorf("%s to %s was refused: %v", a.number, a.link, err)
				case a.want != "" && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), a.want)):
					t.Errorf("%s to %s: want a conflict with %q, got %v", a.number, a.link, a.want, err)
				}
			}
		})
	}
}

func TestMailboxesAreAddedAllOrNone(t *testing.T) {
	w := newWorld(t)
	w.link(t, "a", "p1", "dr")
	w.link(t, "b", "p2", "dr")
	if n, err := w.AddMailboxes(t.Context(), "a", []mailbox.Number{"1", "2"}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for _, numbers := range [][]mailbox.Number{{"7", "2"}, {"7", "b/d"}, {"7", "7"}, {}} {
		if _, err := w.AddMailboxes(t.Context(), "b", numbers); err == nil {
			t.Errorf("%q were added", numbers)
		}
	}
	if left, _ := w.Mailboxes(t.Context(), "b"); len(left) != 0 {
		t.Errorf("some were added: %v", left)
	}
	if _, err := w.RemoveMailboxes(t.Context(), "a", []mailbox.Number{"1", "9"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown number was removed: %v", err)
	}
	if n, err := w.RemoveMailboxes(t.Context(), "a", []mailbox.Number{"1", "2"}); n != 2 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
}

func TestReadNumbers(t *testing.T) {
	numbers, err := control.ReadNumbers(strings.NewReader("\uFEFF# all of sales\r\n1001\r\n\r\n  1002\t# Ann\n1#3\n#\n"))
	if diff := cmp.Diff([]mailbox.Number{"1001", "1002", "1#3"}, numbers); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	_, err = control.ReadNumbers(strings.NewReader("1001\nbad number\n1002\n1001\nx/y\n"))
	for _, want := range []string{"line 2: ", "line 4: mailbox number \"1001\" stands on line 1 already", "line 5: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	for name, content := range map[string]string{"empty": "# none\n", "binary": strings.Repeat("\x00\x01", 40000), "long": strings.Repeat("1", 100000)} {
		if _, err := control.ReadNumbers(strings.NewReader(content)); err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 5000 {
			t.Errorf("%s: the error is %d bytes long", name, len(err.Error()))
		}
	}
	many := strings.Repeat("a b\n", 500)
	if _, err := control.ReadNumbers(strings.NewReader(many)); err == nil || !strings.Contains(err.Error(), "and 480 more") {
		t.Errorf("a long list of faults: %v", err)
	}
}

func TestWaitCompareShowsProgressAndSurvivesALookThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.link(t, "dr", "prod", "site")
		start := time.Now()
		w.runner.OnWaitRun = func(ctx context.Context, run site.Run) error {
			// The run is recorded only after 3 s; then one mailbox a second.
			for i := range 5 {
				time.Sleep(time.Second)
				if i >= 2 {
					w.repo.PutRun(site.CompareRun{RunID: run.ID, Link: "dr", Mailboxes: 3, CompareProgress: site.CompareProgress{Reviewed: i - 1}})
				}
			}
			return nil
		}
		s, err := w.Compare(t.Context(), "dr")
		if err != nil {
			t.Fatal(err)
		}
		var seen []int
		run, err := w.WaitCompare(t.Context(), s, control.Waiting[site.CompareRun]{Every: 900 * time.Millisecond,
			Progress: func(r site.CompareRun) { seen = append(seen, r.Reviewed) }})
		if err != nil || run.Reviewed != 3 {
			t.Errorf("ended with %d reviewed, %v", run.Reviewed, err)
		}
		if diff := cmp.Diff([]int{1, 2}, seen); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("waited %s", d)
		}
	})
}

func TestWaitCompareEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.runner.OnWaitRun = func(ctx context.Context, _ site.Run) error { <-ctx.Done(); return ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := w.WaitCompare(ctx, control.CompareStart{Link: "dr", RunID: "r"}, control.Waiting[site.CompareRun]{Every: time.Second})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSync(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	if _, err := w.AddMailboxes(t.Context(), "dr", []mailbox.Number{"1"}); err != nil {
		t.Fatal(err)
	}
	key := mailbox.Key{Link: "dr", Number: "1"}
	var woken []string
	w.runner.OnSync = func(k mailbox.Key, trigger string) error {
		woken = append(woken, fmt.Sprint(k, trigger))
		return nil
	}
	g, err := w.Sync(t.Context(), key)
	if g != 2 || err != nil || len(woken) != 1 || woken[0] != "{dr 1}operator" {
		t.Errorf("generation %d, woken %v, %v", g, woken, err)
	}
	if _, err := w.Sync(t.Context(), mailbox.Key{Link: "dr", Number: "9"}); !fault.Is(err, fault.NotFound) || len(woken) != 1 {
		t.Errorf("a mailbox that does not take part: %v, woken %v", err, woken)
	}
}

func TestPlainPassword(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:143": false, "[::1]:143": false, "localhost:143": false, "10.0.0.1:143": true, "mail.example.org:143": true,
	} {
		s := aStore("x")
		s.IMAPAddress, s.Security = address, site.SecurityNone
		if got := site.PlainPassword(s); got != want {
			t.Errorf("%s: %v", address, got)
		}
		s.Security = site.SecurityStartTLS
		if site.PlainPassword(s) {
			t.Errorf("%s with STARTTLS counts as clear", address)
		}
	}
}
