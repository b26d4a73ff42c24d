package activities_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/verdict"
)

const secret = "canary of a body"

var check *activities.Checks

// checking is an environment over a link of mailboxes, four of which are compared at a
// time.
func checking(checks *activitytest.Checks, mailboxes int) *testsuite.TestActivityEnvironment {
	world := activitytest.New()
	world.Add(link, activitytest.Numbers(mailboxes)...)
	return environment(activities.New(checks.Into(world, world.Ports(nil)), activities.Settings{Mailboxes: 4}))
}

func begin(t *testing.T, env *testsuite.TestActivityEnvironment) {
	t.Helper()
	if _, err := env.ExecuteActivity(check.BeginVerify, activities.BeginVerifyInput{RunID: "run", Link: link}); err != nil {
		t.Fatal(err)
	}
}

func TestCheckStoreRecordsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		found error
		fails bool
		want  verdict.Failure
	}{
		"nothing":       {},
		"the password":  {found: fault.New(fault.Config, "log in: rejected", nil, "enter it again"), want: verdict.Failure{ErrorKind: "config", Error: "log in: rejected", Hint: "enter it again"}},
		"not foreseen":  {found: errors.New(secret), want: verdict.Failure{ErrorKind: "transient", Error: "unexpected error of type *errors.errorString"}},
		"a long answer": {found: fault.Newf(fault.Permanent, "%s", strings.Repeat("x", 9999)), want: verdict.Failure{ErrorKind: "permanent", Error: strings.Repeat("x", 500)}},
		"the database":  {found: fault.New(fault.Config, "read store", fault.ErrDatabase, ""), fails: true},
		"both": {found: errors.Join(fault.New(fault.Config, "log in", errors.New("the server says "+secret), ""),
			fault.New(fault.Transient, "read directory", fault.ErrDatabase, "")), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			checks := &activitytest.Checks{OnCheck: func(_ context.Context, store string, number mailbox.Number) (verdict.Store, error) {
				return verdict.Store{Store: store, Mailbox: number}, test.found
			}}
			_, err := checking(checks, 0).ExecuteActivity(check.CheckStore, activities.CheckInput{RunID: "run", Store: "prod", Mailbox: "1000"})
			if (err != nil) != test.fails {
				t.Fatal(err)
			}
			got := checks.Checked()
			if test.fails {
				if len(got) != 0 || strings.Contains(err.Error(), secret) {
					t.Errorf("recorded %+v, ended with %v", got, err)
				}
				return
			}
			want := []verdict.StoreRun{{RunID: "run", Store: "prod", Mailbox: "1000", Report: verdict.Store{Store: "prod", Mailbox: "1000"}, Failure: test.want}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// Every mailbox of the link gets one result, whatever the size of a page, and a panic or
// an error of one is its own.
func TestVerifyPages(t *testing.T) {
	const mailboxes = 23
	for _, size := range []int{1, 7, 23, 50} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			checks := &activitytest.Checks{OnVerify: func(_ context.Context, job copier.Job) ([]copier.FolderVerdict, error) {
				switch job.Key.Number {
				case "1003":
					return nil, errors.New(secret)
				case "1004":
					panic(secret)
				case "1005":
					return []copier.FolderVerdict{{Folder: mailbox.Inbox, Source: 2, Missing: 1, Bytes: 10}}, nil
				case "1006":
					return []copier.FolderVerdict{{Folder: mailbox.Inbox, Source: 2, Unreadable: 1}}, nil
				}
				return []copier.FolderVerdict{{Folder: mailbox.Inbox, Source: 1, Equal: 1, Bytes: 5}}, nil
			}}
			env := checking(checks, mailboxes)
			begin(t, env)
			pages := 0
			for after := mailbox.Number(""); ; pages++ {
				value, err := env.ExecuteActivity(check.VerifyPage, activities.VerifyPageInput{RunID: "run", Link: link, After: after, Limit: size})
				if err != nil {
					t.Fatal(err)
				}
				if err := value.Get(&after); err != nil {
					t.Fatal(err)
				}
				if after == "" {
					break
				}
			}
			run := checks.Found("run")
			if run.Mailboxes != mailboxes || run.Planned != mailboxes || run.Equal != mailboxes-4 || run.Differing != 2 || run.Failed != 2 || pages != (mailboxes+size-1)/size {
				t.Errorf("%d pages, recorded %+v", pages, run)
			}
			if want := (verdict.Counts{Compared: mailboxes - 4 + 4, Missing: 1, Unreadable: 1}); run.Messages != want || run.Bytes != 5*(mailboxes-4)+10 {
				t.Errorf("%d bytes, counted %+v", run.Bytes, run.Messages)
			}
			if text := fmt.Sprintf("%+v", run); strings.Contains(text, secret) {
				t.Errorf("recorded content: %s", text)
			}
		})
	}
}

// What joins the link behind the page, and what the database loses, is compared before
// the verification ends.
func TestVerifyEndsWhenEveryMailboxHasAResult(t *testing.T) {
	checks := &activitytest.Checks{}
	world := activitytest.New()
	world.Add(link, activitytest.Numbers(10)...)
	env := environment(activities.New(checks.Into(world, world.Ports(nil)), activities.Settings{Mailboxes: 4}))
	begin(t, env)
	var ends []mailbox.Number
	for after := mailbox.Number(""); ; {
		value, err := env.ExecuteActivity(check.VerifyPage, activities.VerifyPageInput{RunID: "run", Link: link, After: after, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		if err := value.Get(&after); err != nil {
			t.Fatal(err)
		}
		if ends = append(ends, after); after == "" {
			break
		}
		if len(ends) == 2 {
			checks.LoseVerified("run", "1002", "1003")
			world.Add(link, "0999")
		}
	}
	if run := checks.Found("run"); run.Mailboxes != 11 || run.Equal != 11 {
		t.Errorf("recorded %+v", run)
	}
	if diff := cmp.Diff([]mailbox.Number{"1003", "1007", "1009", "1003", ""}, ends); diff != "" {
		t.Errorf("pages ended at (-want +got):\n%s", diff)
	}
}

// A page whose worker died is carried on: what has a result is not compared again.
func TestVerifyPageGoesOn(t *testing.T) {
	var mu sync.Mutex
	compared := map[mailbox.Number]int{}
	checks := &activitytest.Checks{}
	env := checking(checks, 10)
	begin(t, env)
	stopping := make(chan struct{})
	checks.OnVerify = func(ctx context.Context, job copier.Job) ([]copier.FolderVerdict, error) {
		mu.Lock()
		compared[job.Key.Number]++
		last := len(compared) > 5
		mu.Unlock()
		if last {
			close(stopping)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, nil
	}
	first := checking(checks, 10)
	first.SetWorkerStopChannel(stopping)
	input := activities.VerifyPageInput{RunID: "run", Link: link, Numbers: activitytest.Numbers(10)}
	if _, err := first.ExecuteActivity(check.VerifyPage, input); err == nil {
		t.Fatal("the page of a worker that stops succeeds")
	}
	before := checks.Found("run").Mailboxes
	checks.OnVerify = func(_ context.Context, job copier.Job) ([]copier.FolderVerdict, error) {
		mu.Lock()
		defer mu.Unlock()
		compared[job.Key.Number] += 100
		return nil, nil
	}
	if _, err := env.ExecuteActivity(check.VerifyPage, input); err != nil {
		t.Fatal(err)
	}
	again := 0
	for n, times := range compared {
		if times > 100 {
			again++
		} else if times == 0 {
			t.Errorf("mailbox %s was not compared", n)
		}
	}
	if run := checks.Found("run"); run.Mailboxes != 10 || before == 0 || again > 4 {
		t.Errorf("%d results after the first attempt, %d mailboxes compared again, %d results", before, again, run.Mailboxes)
	}
}

// An attempt that a database ends, or a worker that stops, is no death.
func TestVerifyPageBlamesNoMailboxForTheDatabase(t *testing.T) {
	checks := &activitytest.Checks{}
	begin(t, checking(checks, 10))
	input := activities.VerifyPageInput{RunID: "run", Link: link, Limit: 10}
	var h heartbeats
	checks.Fault = fault.New(fault.Transient, "record", fault.ErrDatabase, "")
	for range 4 {
		env := checking(checks, 10)
		h.watch(env)
		if _, err := env.ExecuteActivity(check.VerifyPage, input); err == nil {
			t.Fatal("the page succeeds although nothing is recorded")
		}
	}
	checks.Fault = nil
	env := checking(checks, 10)
	h.watch(env)
	if _, err := env.ExecuteActivity(check.VerifyPage, input); err != nil {
		t.Fatal(err)
	}
	if run := checks.Found("run"); run.Failed != 0 || run.Equal != 10 {
		t.Errorf("recorded %+v", run)
	}
}

// Mailboxes at which workers die fail, and the others are compared.
func TestVerifyPageLeavesOutWhatKillsWorkers(t *testing.T) {
	checks := &activitytest.Checks{}
	begin(t, checking(checks, 10))
	input := activities.VerifyPageInput{RunID: "run", Link: link, After: "", Limit: 10}
	var h heartbeats
	for range 3 {
		h.dead = false
		env := checking(checks, 10)
		h.watch(env)
		checks.Fault = fault.New(fault.Transient, "record", fault.ErrDatabase, "")
		checks.OnVerify = func(context.Context, copier.Job) ([]copier.FolderVerdict, error) {
			h.die() // nothing that comes later reaches Temporal
			return nil, nil
		}
		_, _ = env.ExecuteActivity(check.VerifyPage, input)
		checks.Fault = nil
	}
	checks.OnVerify = nil
	env := checking(checks, 10)
	h.watch(env)
	if _, err := env.ExecuteActivity(check.VerifyPage, input); err != nil {
		t.Fatal(err)
	}
	run := checks.Found("run")
	if run.Failed != 4 || run.Equal != 6 || run.Results[0].Hint == "" || run.Results[0].ErrorKind != string(fault.Permanent) {
		t.Errorf("recorded %+v", run)
	}
}
