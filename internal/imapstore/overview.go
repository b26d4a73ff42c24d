package imapstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/mailbox"
)

// noOverviewFor is how long a store that offers no overview is believed.
const noOverviewFor = 10 * time.Minute

// Overview implements copier.Overviewer: it logs in as the trusted account
// itself and lists the folders of the given mailboxes in the namespace of other
// users' mailboxes (RFC 2342) with their counters. It needs LIST-EXTENDED and
// LIST-STATUS: without them a command per mailbox would be no cheaper than the
// log-ins that it saves.
//
// A folder is what Session.List says it is, but for two things that the
// namespace cannot tell: Subscribed is always false, and SpecialUse is always
// empty. A folder that the trusted account may not see is not there.
func (s *Store) Overview(ctx context.Context, numbers []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, error) {
	s.mu.Lock()
	unsupported := time.Since(s.noOverview) < noOverviewFor
	s.mu.Unlock()
	if unsupported {
		return nil, errors.ErrUnsupported
	}
	for _, n := range numbers {
		if err := n.Validate(); err != nil {
			return nil, err
		}
	}
	session, err := s.open(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }()
	ns, ok := session.overviewNamespace()
	if !ok {
		s.mu.Lock()
		s.noOverview = time.Now()
		s.mu.Unlock()
		return nil, errors.ErrUnsupported
	}
	return session.overview(ctx, ns, numbers)
}

// overviewNamespace is the one in which the trusted account sees mailboxes.
func (s *Session) overviewNamespace() (namespace, bool) {
	if !s.wire.has("LIST-EXTENDED") || !s.wire.has("LIST-STATUS") {
		return namespace{}, false
	}
	for _, ns := range s.ns.others {
		if ns.prefix != "" && ns.separator != 0 {
			return ns, true
		}
	}
	return namespace{}, false
}

func (s *Session) overview(ctx context.Context, ns namespace, numbers []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, error) {
	var folders []*found
	err := s.run(ctx, "list folders of many mailboxes", func() error {
		answers, err := s.collect(func() []waiter {
			var commands []waiter
			for _, patterns := range overviewPatterns(ns, numbers) {
				commands = append(commands, s.listMany(patterns))
			}
			return commands
		})
		if err != nil {
			return err
		}
		byName := map[string]*found{}
		if folders, err = s.gather(answers, byName); err != nil {
			return err
		}
		return s.missingStatus(folders, byName)
	})
	if err != nil {
		return nil, err
	}
	wanted := make(map[mailbox.Number]bool, len(numbers))
	for _, n := range numbers {
		wanted[n] = true
	}
	return groupByMailbox(ns, wanted, folders), nil
}

// overviewPatterns gives each mailbox two patterns, itself and all below it,
// and bundles them into commands. On Dovecot and Cyrus with a thousand
// mailboxes this was as fast as any other form or faster, for pages of 50 to
// 500: one wildcard for all costs the whole store on every page, and a command
// per mailbox costs Cyrus ten times as much.
func overviewPatterns(ns namespace, numbers []mailbox.Number) [][]string {
	var all [][]string
	var part []string
	size := 0
	for _, n := range numbers {
		if strings.ContainsRune(string(n), ns.separator) {
			continue // cannot be told from a folder
		}
		root := encodeUTF7(ns.prefix + string(n))
		own, below := quote(root), quote(root+encodeUTF7(string(ns.separator))+"*")
		if size += len(own) + len(below) + 2; size > maxSetBytes && len(part) > 0 {
			all = append(all, part)
			part, size = nil, len(own)+len(below)+2
		}
		part = append(part, own, below)
	}
	if len(part) > 0 {
		all = append(all, part)
	}
	return all
}

// listMany sends a LIST with several patterns (RFC 5258), which go-imap cannot.
func (s *Session) listMany(patterns []string) waiter {
	items := "MESSAGES UIDNEXT UIDVALIDITY"
	if s.wire.has("CONDSTORE") {
		items += " HIGHESTMODSEQ"
	}
	s.wire.replace = `LIST "" (` + strings.Join(patterns, " ") + `) RETURN (STATUS (` + items + `))`
	return simpleCommand{s.client.Noop()}
}

// groupByMailbox turns names below the shared namespace into the folders of
// each mailbox. A mailbox whose inbox is not shown is left out.
func groupByMailbox(ns namespace, wanted map[mailbox.Number]bool, folders []*found) map[mailbox.Number][]mailbox.Folder {
	out := map[mailbox.Number][]mailbox.Folder{}
	spoilt := map[mailbox.Number]bool{}
	for _, f := range folders {
		rest, ok := strings.CutPrefix(f.decoded, ns.prefix)
		if !ok || (f.separator != 0 && f.separator != ns.separator) {
			continue
		}
		owner, name, below := strings.Cut(rest, string(ns.separator))
		number := mailbox.Number(owner)
		if !wanted[number] {
			continue
		}
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
