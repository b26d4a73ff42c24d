package imapstore

import (
	"context"
	"strings"

	"mailmirror/internal/copier"
)

var _ copier.Identified = (*Session)(nil)

// accountItem is the item of STATUS that tells one account's INBOX from every other;
// "" until it is known whether the server has one.
type accountItem string

const (
	itemNone = accountItem("none")
	// itemMailboxID is that of OBJECTID (RFC 8474).
	itemMailboxID = accountItem("MAILBOXID")
	// itemGUID is Dovecot's own, which every release since 2.0 has. It announces it
	// nowhere, so only a server that calls itself Dovecot is asked.
	itemGUID = accountItem("X-GUID")
)

// Account returns the id of the INBOX, which a server makes when it makes the account,
// from chance and time, and keeps; copying by IMAP gives the copy another one. It is ""
// where the server tells none.
func (s *Session) Account(ctx context.Context) (string, error) {
	item, err := s.accountItem(ctx)
	if err != nil || item == itemNone {
		return "", err
	}
	seen := &kept{}
	err = s.run(ctx, "ask for the id of the inbox", func() error {
		s.wire.collect(seen)
		defer s.wire.collect(nil)
		s.wire.replace = "STATUS INBOX (" + string(item) + ")"
		return orNothing{simpleCommand{s.client.Noop()}}.Close()
	})
	if err != nil {
		return "", err
	}
	for _, answer := range seen.responses {
		if id := scanAccount(&scanner{rest: answer}, item); id != "" {
			return strings.ToLower(string(item)) + ":" + id, nil
		}
	}
	return "", nil
}

// accountItem finds out once for a store which item it has, and what it reports about
// itself.
func (s *Session) accountItem(ctx context.Context) (accountItem, error) {
	s.store.mu.Lock()
	item := s.store.accounts
	s.store.mu.Unlock()
	if item != "" {
		return item, nil
	}
	var r CheckReport
	if err := s.run(ctx, "ask the server for its name", func() error { return s.askID(&r) }); err != nil {
		return "", err
	}
	if s.store.opts.Reported != nil {
		if err := s.store.opts.Reported(ctx, r.ServerID); err != nil {
			return "", err
		}
	}
	switch {
	case s.wire.has("OBJECTID"):
		item = itemMailboxID
	case r.Server == "Dovecot" || strings.HasPrefix(s.conn.greeting, "Dovecot"):
		item = itemGUID
	default:
		item = itemNone
	}
	s.store.mu.Lock()
	s.store.accounts = item
	s.store.mu.Unlock()
	return item, nil
}

// scanAccount reads "* STATUS INBOX (X-GUID id)" or "* STATUS INBOX (MAILBOXID (id))";
// "" where the answer is another one.
func scanAccount(s *scanner, item accountItem) (id string) {
	if s.kind() != "STATUS" {
		return ""
	}
	name, _ := s.text()
	if !strings.EqualFold(name, "INBOX") {
		return ""
	}
	s.blanks()
	s.list(func() bool {
		key := strings.ToUpper(s.word())
		s.blanks()
		if key != string(item) {
			return s.value()
		}
		if s.peek() == '(' {
			return s.list(func() bool {
				id, _ = s.text()
				return !s.bad
			})
		}
		id, _ = s.text()
		return !s.bad
	})
	if s.bad || len(id) > 255 {
		return ""
	}
	return id
}
