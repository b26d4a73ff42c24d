package imapstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/mailbox"
)

// overviewBelieved is how long a store is believed to offer an overview, or
// none, and to show as many mailboxes as it did.
const overviewBelieved = 10 * time.Minute

// worthwhile is up to how many times as many mailboxes as are asked for a store
// may show. Its answer tells of all of them, at an eighth or less of what a
// log-in to each costs on Dovecot and Cyrus.
const worthwhile = 8

// OffersOverview implements copier.Overviewer. What it found out is believed
// for ten minutes.
func (s *Store) OffersOverview(ctx context.Context) (bool, error) {
	s.mu.Lock()
	known, offers := time.Since(s.overviewLearned) < overviewBelieved, s.overviewOffered
	s.mu.Unlock()
	if known {
		return offers, nil
	}
	session, err := s.open(ctx, "")
	if err != nil {
		return false, err
	}
	defer func() { _ = session.Close() }()
	_, ok := session.overviewNamespace()
	return ok, nil
}

// Overview implements copier.Overviewer: it logs in as the trusted account
// itself and lists the namespace of other users' mailboxes (RFC 2342) with the
// counters of all folders. It needs LIST-EXTENDED and LIST-STATUS: without them
// a command per mailbox would be no cheaper than the log-ins that it saves.
//
// The store tells of all its mailboxes, since asking for some costs Dovecot a
// look at each of the others for every line of patterns. Where they are many
// times those that are asked for the answer is errors.ErrUnsupported, from the
// second time on.
//
// A folder is what Session.List says it is, but for two things that the
// namespace cannot tell: Subscribed is always false, and SpecialUse is always
// empty. A folder that the trusted account may not see is not there.
func (s *Store) Overview(ctx context.Context, numbers []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, error) {
	seen, _, err := s.overviewTook(ctx, numbers, nil)
	return seen, err
}

// overviewTook is Overview, and says how long the server was busy with the list. It also
// returns those of others that the list shows.
func (s *Store) overviewTook(ctx context.Context, numbers, others []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, time.Duration, error) {
	s.mu.Lock()
	unsupported := time.Since(s.overviewLearned) < overviewBelieved &&
		(!s.overviewOffered || s.overviewSize > worthwhile*len(numbers))
	s.mu.Unlock()
	if unsupported {
		return nil, 0, errors.ErrUnsupported
	}
	for _, n := range numbers {
		if err := n.Validate(); err != nil {
			return nil, 0, err
		}
	}
	if err := s.gate.WorthListing(ctx, len(numbers)); err != nil {
		return nil, 0, err
	}
	wanted := s.ownersOf(slices.Concat(numbers, others))
	l, err := s.listAll(ctx, len(numbers), s.opts.Timeouts.Listing)
	if err != nil {
		return nil, 0, err
	}
	return groupByMailbox(l.ns, wanted, l.folders), l.took, nil
}

// overviewNamespace is the one in which the trusted account sees mailboxes.
func (s *Session) overviewNamespace() (found namespace, ok bool) {
	if s.wire.has("LIST-EXTENDED") && s.wire.has("LIST-STATUS") {
		found, ok = s.ns.ofOthers()
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.overviewLearned, s.store.overviewOffered = time.Now(), ok
	return found, ok
}

// ofOthers is the namespace in which other users' mailboxes are seen.
func (n *namespaces) ofOthers() (namespace, bool) {
	for _, ns := range n.others {
		if ns.prefix != "" && ns.separator != 0 {
			return ns, true
		}
	}
	return namespace{}, false
}

// overview lists all that the namespace shows.
func (s *Session) overview(ctx context.Context, ns namespace, bound listBound) (folders []*found, err error) {
	err = s.run(ctx, "list folders of all mailboxes", func() error {
		seen, err := s.collect(newListing(bound), func() []waiter {
			return []waiter{s.client.List("", ns.prefix+"*", &imap.ListOptions{ReturnStatus: s.statusOptions()})}
		})
		if err != nil {
			return err
		}
		folders = seen.end()
		return s.missingStatus(seen)
	})
	return folders, err
}

// countMailboxes counts those that a listed namespace shows.
func countMailboxes(ns namespace, folders []*found) int {
	owners := map[string]bool{}
	for _, f := range folders {
		if rest, ok := strings.CutPrefix(f.decoded, ns.prefix); ok {
			owner, _, _ := strings.Cut(rest, string(ns.separator))
			owners[owner] = true
		}
	}
	return len(owners)
}

// owners tells whose mailbox it is that a namespace of other users' mailboxes
// shows, by the log-in that stands in its names.
type owners map[string]mailbox.Number

// ownersOf finds mailboxes by their log-ins. One of which none is known is not
// among them, and has to be asked for by itself, which tells why.
func (s *Store) ownersOf(numbers []mailbox.Number) owners {
	o := make(owners, len(numbers))
	for _, n := range numbers {
		login, err := s.loginOf(n)
		if err != nil {
			continue
		}
		o[login] = n
		// Dovecot shows names in lower case where it takes log-ins in any. Of those
		// that a directory tells no two differ in that alone: see directory.Logins.
		if lower := strings.ToLower(login); lower != login && login != string(n) {
			o[lower] = n
		}
	}
	return o
}

// split cuts a name below the namespace into the owner, one of o, and the folder;
// "" is the mailbox itself.
func (o owners) split(ns namespace, name string) (owner, below string, ok bool) {
	rest, ok := strings.CutPrefix(name, ns.prefix)
	if !ok {
		return "", "", false
	}
	owner, below, _ = strings.Cut(rest, string(ns.separator))
	_, ok = o[owner]
	return owner, below, ok
}

// groupByMailbox turns names below the shared namespace into the folders of
// each mailbox. A mailbox whose inbox is not shown is left out.
func groupByMailbox(ns namespace, wanted owners, folders []*found) map[mailbox.Number][]mailbox.Folder {
	out := map[mailbox.Number][]mailbox.Folder{}
	spoilt := map[mailbox.Number]bool{}
	for _, f := range folders {
		owner, name, ok := wanted.split(ns, f.decoded)
		if !ok || (f.separator != 0 && f.separator != ns.separator) {
			continue
		}
		number, below := wanted[owner], name != ""
		folder := mailbox.Folder{Name: mailbox.Inbox, Selectable: f.selectable(), Counters: f.counters}
		switch {
		case !below && !folder.Selectable:
			continue // not there yet; other servers show the inbox by its name
		case below:
			folder.Name = mailbox.FolderFromWire(name, ns.separator, "")
		}
		if slices.ContainsFunc(out[number], func(other mailbox.Folder) bool { return other.Name == folder.Name }) {
			spoilt[number] = true
		}
		out[number] = append(out[number], folder)
	}
	for number, list := range out {
		inbox := slices.ContainsFunc(list, func(f mailbox.Folder) bool { return f.Name == mailbox.Inbox && f.Selectable })
		if !inbox || spoilt[number] {
			delete(out, number)
		}
	}
	return out
}
