package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// AddMailboxes makes mailboxes take part in a link, all of them or none, and
// returns how many did not already. They are due at once.
//
// A mailbox has one writer at most on every store, and is never its own
// source, not even over several links: a mailbox that another link brings to
// the same target, or that would come back to where it started, is refused.
func (c *Control) AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	op := "add mailboxes to link " + link
	if len(numbers) == 0 {
		return 0, malformed(op, []error{errors.New("no mailbox number is given")})
	}
	if err := checkNumbers(op, numbers); err != nil {
		return 0, err
	}
	l, err := c.repo.Link(ctx, link)
	if err != nil {
		return 0, err
	}
	if err := c.checkDirections(ctx, l, numbers); err != nil {
		return 0, fault.Wrap(err, op)
	}
	return c.repo.AddMailboxes(ctx, link, numbers)
}

// RemoveMailboxes ends the mirroring of mailboxes and returns how many took
// part. What is on the target stays there. Numbers that do not take part are
// refused, and then none is removed.
func (c *Control) RemoveMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	op := "remove mailboxes from link " + link
	if err := checkNumbers(op, numbers); err != nil {
		return 0, err
	}
	if _, err := c.repo.Link(ctx, link); err != nil {
		return 0, err
	}
	var unknown []error
	for _, n := range numbers {
		_, err := c.repo.Mailbox(ctx, mailbox.Key{Link: link, Number: n})
		switch {
		case fault.Is(err, fault.Config):
			unknown = append(unknown, err)
		case err != nil:
			return 0, err
		}
	}
	if err := errors.Join(unknown...); err != nil {
		return 0, fault.New(fault.Config, op, err, "nothing was removed; list those that take part with: mailmirror mailbox list "+link)
	}
	return c.repo.RemoveMailboxes(ctx, link, numbers)
}

// Mailbox returns one mailbox of a link.
func (c *Control) Mailbox(ctx context.Context, key mailbox.Key) (Mailbox, error) {
	return c.repo.Mailbox(ctx, key)
}

// Mailboxes lists the mailboxes of a link by number.
func (c *Control) Mailboxes(ctx context.Context, link string) ([]Mailbox, error) {
	if _, err := c.repo.Link(ctx, link); err != nil {
		return nil, err
	}
	return c.repo.Mailboxes(ctx, link, "", 0)
}

// checkDirections refuses numbers that would get a second writer on the
// target, or run in a circle.
func (c *Control) checkDirections(ctx context.Context, l Link, numbers []mailbox.Number) error {
	links, err := c.repo.Links(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(links, func(o Link) bool { return o.Name == l.Name || !connected(l, o, links) })
	members := map[string]map[mailbox.Number]bool{}
	for _, o := range others {
		list, err := c.repo.Mailboxes(ctx, o.Name, "", 0)
		if err != nil {
			return err
		}
		set := make(map[mailbox.Number]bool, len(list))
		for _, m := range list {
			set[m.Number] = true
		}
		members[o.Name] = set
	}
	var faults []error
	for _, n := range numbers {
		if err := checkDirection(l, n, others, members); err != nil {
			faults = append(faults, err)
		}
	}
	if extra := len(faults) - maxListedFaults; extra > 0 {
		faults = append(faults[:maxListedFaults], fmt.Errorf("and %d more", extra))
	}
	if err := errors.Join(faults...); err != nil {
		return fault.New(fault.Conflict, "", err, "nothing was added; a mailbox is mirrored to a store by one link and in one direction only")
	}
	return nil
}

// connected reports whether o could share a writer or a circle with l. Most
// installations have no such link, and then no other mailbox is looked at.
func connected(l, o Link, links []Link) bool {
	if o.Target == l.Target {
		return true
	}
	// A circle through l has to come back from l's target to l's source.
	return reaches(l.Target, l.Source, links) && reaches(o.Target, l.Source, links)
}

func reaches(from, to string, links []Link) bool {
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
func checkDirection(l Link, n mailbox.Number, others []Link, members map[string]map[mailbox.Number]bool) error {
	for _, o := range others {
		if o.Target == l.Target && members[o.Name][n] {
			return fmt.Errorf("mailbox %s is mirrored to store %s by link %s already", n, l.Target, o.Name)
		}
	}
	store, path := l.Source, ""
	for range others {
		i := slices.IndexFunc(others, func(o Link) bool { return o.Target == store && members[o.Name][n] })
		if i < 0 {
			return nil
		}
		path = others[i].Name
		if store = others[i].Source; store == l.Target {
			return fmt.Errorf("mailbox %s is mirrored from store %s by link %s: it would be mirrored back to where it comes from", n, l.Target, path)
		}
	}
	return nil
}
