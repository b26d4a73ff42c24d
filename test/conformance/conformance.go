// Package conformance is the suite that holds records to the contracts of the ports of
// packages control, activities and dirsync. It runs over PostgreSQL and over the memory
// that other tests use in its place, so that both keep the same promises.
package conformance

import (
	"context"
	"testing"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/audit"
	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Records are what is held to the contracts: the ports to one empty database, and what
// only an engine does to it. What is not of the database may be nil.
type Records struct {
	control.Ports
	Work activities.Ports
	// Hold has the guard keep messages of an inbox from being deleted.
	Hold func(t *testing.T, key mailbox.Key, messages int)
	// HoldDirectory records a run over the directories of prod-dr that removes an entry,
	// which is held, and creates another.
	HoldDirectory func(t *testing.T, runID string)
	// Write takes the write lease of a mailbox until done is called.
	Write func(t *testing.T, key mailbox.Key) (done func())
}

// Run runs the whole suite. open returns records that are empty.
func Run(t *testing.T, open func(t *testing.T) Records) {
	t.Helper()
	for name, test := range map[string]func(*suite){
		"stores": (*suite).stores, "links": (*suite).links, "mailboxes": (*suite).mailboxes, "writers": (*suite).writers,
		"guard": (*suite).guard, "suspension": (*suite).suspension, "schedules": (*suite).schedules, "audit": (*suite).audit,
		"audited changes": (*suite).audited, "records": (*suite).records, "directories": (*suite).directories,
		"holds of directories": (*suite).directoryHolds,
		"compares":             (*suite).compares, "pages": (*suite).pages, "due": (*suite).due, "failures": (*suite).failures, "reviews": (*suite).reviews,
		"checks": (*suite).checks, "verifications": (*suite).verifications, "listening": (*suite).listening,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&suite{T: t, Records: open(t)})
		})
	}
}

type suite struct {
	*testing.T
	Records
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// fails checks that an error is of a kind.
func (s *suite) fails(what string, err error, kind fault.Kind) {
	s.Helper()
	if !fault.Is(err, kind) {
		s.Errorf("%s: error %v, want one of kind %s", what, err, kind)
	}
}

// storeNamed is a store at an address of its own.
func storeNamed(name string) site.Store {
	return site.Store{Name: name, IMAPAddress: name + ".example:143", Security: site.SecurityTLS,
		Login: site.LoginAuthzid, TrustedName: "mirror", SealedPassword: []byte("sealed"), Greetings: mailbox.DefaultGreetings,
		Events: site.ListenAuto, PollEvery: time.Minute, LoginCase: site.LoginFold, Addresses: []string{name + ".example imap"}}
}

const link = "prod-dr"

func keyOf(n mailbox.Number) mailbox.Key { return mailbox.Key{Link: link, Number: n} }

// linked adds the link prod-dr with its stores, and mailboxes.
func (s *suite) linked(numbers ...mailbox.Number) {
	s.Helper()
	s.add(link, "prod", "dr", numbers...)
}

// add adds a link with its stores, and mailboxes.
func (s *suite) add(name, source, target string, numbers ...mailbox.Number) {
	s.Helper()
	for _, store := range []string{source, target} {
		if _, err := s.Stores.Store(s.Context(), store); err != nil {
			s.must(s.Stores.AddStore(s.Context(), storeNamed(store)))
		}
	}
	s.must(s.Links.AddLink(s.Context(), site.Link{Name: name, Source: source, Target: target}))
	if len(numbers) > 0 {
		if n, err := s.Mailboxes.AddMailboxes(s.Context(), name, numbers); err != nil || n != len(numbers) {
			s.Fatalf("AddMailboxes = %d, %v", n, err)
		}
	}
}

// box is a mailbox of prod-dr.
func (s *suite) box(n mailbox.Number) site.Mailbox {
	s.Helper()
	b, err := s.Mailboxes.Mailbox(s.Context(), keyOf(n))
	s.must(err)
	return b
}

// with is the context of a command.
func with(s *suite, e *audit.Entry) context.Context { return audit.With(s.Context(), e) }
