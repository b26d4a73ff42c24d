package controltest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// checkWriters keeps the database's rule in its simplest form: by the names of stores
// and the spelling of numbers. It rejects numbers that would get a second writer on the target of
// l, or run in a circle. A mailbox has one writer at most on every store, and
// is never its own source, not even over several links.
//
// rivals are the rivalsOf l, and member tells whether a number takes part in
// one of them. The answer holds as long as no mailbox is added to a rival, so
// it is asked for where none can be until the numbers are added.
func checkWriters(l site.Link, numbers []mailbox.Number, rivals []site.Link, member func(mailbox.Key) bool) error {
	var faults []error
	for _, n := range numbers {
		if err := checkDirection(l, n, rivals, member); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fault.New(fault.Conflict, "add mailboxes to link "+l.Name, err,
			"nothing was added; a mailbox is mirrored to a store by one link and in one direction only")
	}
	return nil
}

// rivalsOf lists those of all links that could share a writer or a circle with
// l. Most installations have none, and then no other mailbox is looked at.
func rivalsOf(l site.Link, links []site.Link) []site.Link {
	var rivals []site.Link
	for _, o := range links {
		if o.Name != l.Name && connected(l, o, links) {
			rivals = append(rivals, o)
		}
	}
	return rivals
}

func connected(l, o site.Link, links []site.Link) bool {
	if o.Target == l.Target {
		return true
	}
	// A circle through l has to come back from l's target to l's source.
	return reaches(l.Target, l.Source, links) && reaches(o.Target, l.Source, links)
}

func reaches(from, to string, links []site.Link) bool {
	seen := map[string]bool{}
	queue := []string{from}
	for len(queue) > 0 {
		store := queue[0]
		queue = queue[1:]
		if store == to {
			return true
		}
		if seen[store] {
			continue
		}
		seen[store] = true
		for _, l := range links {
			if l.Source == store {
				queue = append(queue, l.Target)
			}
		}
	}
	return false
}

// checkDirection walks upstream from the link's source: since a mailbox has
// one writer per store, there is one way up at most.
func checkDirection(l site.Link, n mailbox.Number, rivals []site.Link, member func(mailbox.Key) bool) error {
	for _, o := range rivals {
		if o.Target == l.Target && member(mailbox.Key{Link: o.Name, Number: n}) {
			return fmt.Errorf("mailbox %s is mirrored to store %s by link %s already", n, l.Target, o.Name)
		}
	}
	store, path := l.Source, ""
	for range rivals {
		i := slices.IndexFunc(rivals, func(o site.Link) bool { return o.Target == store && member(mailbox.Key{Link: o.Name, Number: n}) })
		if i < 0 {
			return nil
		}
		path = rivals[i].Name
		if store = rivals[i].Source; store == l.Target {
			return fmt.Errorf("mailbox %s is mirrored from store %s by link %s: it would be mirrored back to where it comes from", n, l.Target, path)
		}
	}
	return nil
}

// sameServer rejects two stores that have an address in common.
func sameServer(a, b site.Store) error {
	for _, address := range a.Addresses {
		if slices.Contains(b.Addresses, address) {
			return fault.Newf(fault.Config, "stores %s and %s are the same server: both have the address %s", a.Name, b.Name, address)
		}
	}
	return nil
}

// SetLinkDirectory implements control.Links.
func (m *Memory) SetLinkDirectory(ctx context.Context, link string, d site.LinkDirectory) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[link]
	if !ok {
		return unknown("link", link)
	}
	before := l
	l.Directory = d
	m.links[link] = l
	if err := m.wayBack("set directory of link " + link); err != nil {
		m.links[link] = before
		return err
	}
	m.record(ctx)
	return nil
}
