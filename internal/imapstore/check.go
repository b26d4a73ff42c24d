package imapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// CheckReport is what a look at a store found.
type CheckReport struct {
	verdict.Store
	// ServerID tells the server from every other, as it reports it; "" for none.
	ServerID string
	// Held is what the mailbox that was acted for holds.
	Held []mailbox.Folder
	// aloneRejected is true if the server rejected the login of the account as itself.
	aloneRejected bool
}

// Check connects, logs in as the trusted account, and for the mailbox where
// one is given. What an operator must mend is a Config error in one plain
// sentence, with a hint; the report then holds what was found before it.
func (s *Store) Check(ctx context.Context, number mailbox.Number) (CheckReport, error) {
	var r CheckReport
	if number != "" {
		if err := number.Validate(); err != nil {
			return r, err
		}
	}
	opts := s.opts
	opts.Gate = nil // an operator's check waits for no sync
	probe, err := New(opts)
	if err != nil {
		return r, err
	}
	if err := probe.checkSelf(ctx, &r, number == ""); err != nil {
		return r, probe.explainCheck(ctx, err)
	}
	if number != "" {
		if err := probe.checkMailbox(ctx, &r, number); err != nil {
			return r, probe.explainCheck(ctx, err)
		}
	}
	r.Advice = advice(r)
	return r, nil
}

// checkSelf looks at the store as the trusted account. A trusted account that
// has no mailbox of its own may not log in alone; that is an error only where
// no mailbox is tried after it.
func (s *Store) checkSelf(ctx context.Context, r *CheckReport, alone bool) error {
	if err := s.gate.Login(ctx); err != nil {
		return s.explainConnect(err)
	}
	c, err := s.connect(ctx)
	if err != nil {
		return s.explainConnect(err)
	}
	r.Connect = c.took
	r.Server, r.Release = nameFromGreeting(c.greeting)
	if c.tls != nil {
		r.TLS = tls.VersionName(c.tls.Version) + ", " + tls.CipherSuiteName(c.tls.CipherSuite)
		if len(c.tls.PeerCertificates) > 0 {
			r.CertificateExpires = c.tls.PeerCertificates[0].NotAfter
		}
	}
	_ = c.wire.Fail(endpoint.ErrClosed)
	session, err := s.open(ctx, "")
	switch {
	case err == nil:
	case fault.Is(err, fault.Config) && !alone && errors.Is(err, errCredentials):
		r.aloneRejected = true
		return nil
	default:
		return err
	}
	defer func() { _ = session.Close() }()
	if ns, ok := session.overviewNamespace(); ok {
		r.Overview = session.wire.shows([]byte(ns.prefix))
	}
	return session.check(ctx, r)
}

func (s *Store) checkMailbox(ctx context.Context, r *CheckReport, number mailbox.Number) error {
	session, err := s.open(ctx, number)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	if err := session.check(ctx, r); err != nil {
		return err
	}
	if r.Held, err = session.List(ctx); err != nil {
		return err
	}
	r.Mailbox = number
	r.Prefix, r.Separator = session.wire.shows([]byte(session.ns.prefix)), ""
	if session.ns.separator != 0 {
		r.Separator = string(session.ns.separator)
	}
	return nil
}

// check asks a logged-in session for the server's name, capabilities and
// round-trip time.
func (s *Session) check(ctx context.Context, r *CheckReport) error {
	r.LoginTime = s.conn.login
	r.Capabilities = s.wire.capabilities()
	if s.conn.saslIR && !slices.Contains(r.Capabilities, "SASL-IR") {
		r.Capabilities = append(r.Capabilities, "SASL-IR")
	}
	slices.Sort(r.Capabilities)
	return s.run(ctx, "ask the server for its name", func() error {
		if err := s.askID(r); err != nil {
			return err
		}
		var times []time.Duration
		for range 7 {
			start := time.Now()
			if err := s.client.Noop().Wait(); err != nil {
				return err
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		r.RoundTrip = times[len(times)/2]
		return nil
	})
}

// askID asks the server for what it says of itself (ID, RFC 2971).
func (s *Session) askID(r *CheckReport) error {
	if !s.wire.has("ID") {
		return nil
	}
	seen := &kept{}
	s.wire.collect(seen)
	_, err := s.client.ID(&imap.IDData{Name: "mailmirror"}).Wait()
	s.wire.collect(nil)
	if err != nil && refusal(err) == nil {
		return err
	}
	for _, a := range seen.responses {
		scanID(&scanner{rest: a}, r)
	}
	r.Server, r.Release, r.ServerID = s.wire.shows([]byte(r.Server)), s.wire.shows([]byte(r.Release)), s.wire.shows([]byte(r.ServerID))
	return nil
}

// scanID reads "* ID (key value …)" or "* ID NIL".
func scanID(s *scanner, r *CheckReport) {
	if s.kind() != "ID" {
		return
	}
	s.blanks()
	if s.peek() != '(' {
		return
	}
	key := ""
	s.list(func() bool {
		text, quoted := s.text()
		if !quoted {
			text = ""
		}
		if key == "" {
			key = strings.ToLower(text)
			return !s.bad && key != ""
		}
		switch key {
		case "name":
			r.Server = endpoint.Printable(text)
		case "version":
			r.Release = endpoint.Printable(text)
		case "server-id", "x-server-id", "server-guid", "guid", "uuid":
			// RFC 2971 has no field for it. Administrators who set one (in Dovecot by
			// imap_id_send) use these names.
			r.ServerID = endpoint.Printable(text)
		}
		key = ""
		return !s.bad
	})
}

// nameFromGreeting finds a server's name where it greets with it.
func nameFromGreeting(greeting string) (name, release string) {
	words := strings.Fields(greeting)
	for i, w := range words {
		for _, known := range []string{"Dovecot", "Cyrus", "Courier", "Exchange", "Zimbra", "Stalwart", "Kerio"} {
			if !strings.HasPrefix(w, known) {
				continue
			}
			for _, next := range words[i:] {
				next = strings.Trim(next, "(),v")
				if len(next) > 0 && next[0] >= '0' && next[0] <= '9' {
					return known, endpoint.Printable(next)
				}
			}
			return known, ""
		}
	}
	return "", ""
}

// explainCheck makes every error of a check one that the operator is to mend,
// and looks closer at a port that stays silent.
func (s *Store) explainCheck(ctx context.Context, err error) error {
	silent := errors.Is(err, errNoGreeting)
	if silent && s.opts.Security != site.SecurityTLS && s.answersTLS(ctx) {
		return fault.New(fault.Config, "connect to store "+s.opts.Name, endpoint.Sentence(s.opts.Address+" begins with TLS, not with plain IMAP", err),
			"use tls in place of "+string(s.opts.Security))
	}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return fault.New(fault.Config, fmt.Sprintf("check store %s", s.opts.Name), err, "")
	}
	return fault.New(fault.Config, e.Op, e.Err, fault.HintOf(err))
}

// From these durations on, a store is slow: a mailbox needs a login and some twenty
// commands.
const (
	slowLogin     = 2 * time.Second // also for the greeting
	slowRoundTrip = 100 * time.Millisecond
)

// slowness says in which ways the store is slow, with the measured time. A login right
// after a rejected one says nothing: servers delay it.
func slowness(r CheckReport) (list []verdict.Advice) {
	login := r.LoginTime
	if r.aloneRejected {
		login = 0
	}
	for _, part := range []struct {
		took, bound time.Duration
		what        string
	}{
		{r.Connect, slowLogin, "the store is slow: it takes %s to accept a connection"},
		{login, slowLogin, "the store is slow: it takes %s to log in"},
		{r.RoundTrip, slowRoundTrip, "the store is slow: it takes %s to answer the simplest command"},
	} {
		if part.took >= part.bound {
			list = append(list, verdict.Advice{Effect: fmt.Sprintf(part.what, part.took.Round(10*time.Millisecond)) +
				", and every look at a mailbox takes that much longer; look at the server's load, its name lookups and its password backend"})
		}
	}
	return list
}

// advice lists what the store lacks, worst first.
func advice(r CheckReport) []verdict.Advice {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(r.Capabilities, n) })
	}
	list := slowness(r)
	if r.aloneRejected {
		list = append(list, verdict.Advice{Effect: "the account may not log in as itself: notify and a look at all mailboxes at once are not possible, and a server " +
			"may delay the logins that follow such a try; let it log in (Dovecot: a passdb without master = yes, and a userdb)"})
	}
	lacking := func(missing, effect string, oneOf ...string) {
		if !has(oneOf...) {
			list = append(list, verdict.Advice{Missing: missing, Effect: effect})
		}
	}
	lacking("CONDSTORE", "no counter tells of changed flags, so every compare reads the flags of all messages", "CONDSTORE", "QRESYNC")
	lacking("UIDPLUS", "copied messages must be found again on this store, and removing single ones takes several commands", "UIDPLUS")
	lacking("LITERAL+", "every message copied to this store waits for a round trip first", "LITERAL+", "LITERAL-")
	if has("LITERAL-") && !has("LITERAL+") {
		list = append(list, verdict.Advice{Missing: "LITERAL+", Effect: "every message above 4 kB copied to this store waits for a round trip first"})
	}
	lacking("LIST-STATUS", "a review asks for each folder by a command of its own", "LIST-STATUS")
	if r.Overview == "" {
		list = append(list, verdict.Advice{Missing: "a namespace of all mailboxes", Effect: "a compare logs in once for each mailbox. With such a namespace one command reads hundreds of mailboxes, and a compare is about twenty times faster"})
	}
	lacking("NAMESPACE", "a folder prefix such as INBOX. cannot be found out", "NAMESPACE")
	lacking("ESEARCH", "lists of UIDs are longer", "ESEARCH")
	lacking("SASL-IR", "each log-in takes a round trip more", "SASL-IR")
	lacking("LIST-EXTENDED", "subscriptions take a command more", "LIST-EXTENDED")
	lacking("SPECIAL-USE", "the special use of folders (Sent, Trash) is not known", "SPECIAL-USE")
	lacking("CREATE-SPECIAL-USE", "folders are created on this store without their special use", "CREATE-SPECIAL-USE")
	lacking("UNSELECT", "closing a folder takes two commands", "UNSELECT")
	if r.TLS == "" {
		list = append(list, verdict.Advice{Missing: "TLS", Effect: "passwords and messages cross the network readable for everyone on it"})
	}
	return list
}
