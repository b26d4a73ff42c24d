package control

import (
	"context"
	"errors"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// AddMailboxes makes mailboxes take part in a link, all of them or none, and
// returns how many did not already. They are due at once.
//
// A mailbox that would get a second writer, or would be mirrored back to where it
// comes from, is rejected: see Mailboxes.AddMailboxes.
func (c *Control) AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	return c.addMailboxes(ctx, link, numbers, "", c.ports.Mailboxes.AddMailboxes)
}

// ReverseMailboxes does the same for mailboxes that were mirrored in the other
// direction before, and no longer are.
func (c *Control) ReverseMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	return c.addMailboxes(ctx, link, numbers, "reverse", c.ports.Mailboxes.ReverseMailboxes)
}

func (c *Control) addMailboxes(ctx context.Context, link string, numbers []mailbox.Number, detail string,
	add func(context.Context, string, []mailbox.Number) (int, error),
) (_ int, err error) {
	op := "add mailboxes to link " + link
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "mailbox add", Link: link, Subject: named(numbers), Detail: detail})
	if err != nil {
		return 0, err
	}
	defer end(&err)
	if len(numbers) == 0 {
		return 0, malformed(op, []error{errors.New("no mailbox number is given")})
	}
	if err := checkNumbers(op, numbers); err != nil {
		return 0, err
	}
	return add(ctx, link, numbers)
}

// RemoveMailboxes ends the mirroring of mailboxes and returns how many took
// part. What is on the target stays there. Numbers that do not take part are
// refused, and then none is removed.
func (c *Control) RemoveMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (_ int, err error) {
	op := "remove mailboxes from link " + link
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "mailbox remove", Link: link, Subject: named(numbers)})
	if err != nil {
		return 0, err
	}
	defer end(&err)
	if err := checkNumbers(op, numbers); err != nil {
		return 0, err
	}
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return 0, err
	}
	var unknown []error
	for _, n := range numbers {
		_, err := c.ports.Mailboxes.Mailbox(ctx, mailbox.Key{Link: link, Number: n})
		switch {
		case fault.Is(err, fault.NotFound):
			unknown = append(unknown, err)
		case err != nil:
			return 0, err
		}
	}
	if err := errors.Join(unknown...); err != nil {
		return 0, fault.New(fault.NotFound, op, err, "nothing was removed; list those that take part with: mailmirror mailbox list "+link)
	}
	return c.ports.Mailboxes.RemoveMailboxes(ctx, link, numbers)
}

// Mailbox returns one mailbox of a link.
func (c *Control) Mailbox(ctx context.Context, key mailbox.Key) (site.Mailbox, error) {
	m, err := c.ports.Mailboxes.Mailbox(ctx, key)
	if err != nil || c.ports.DirectoryConfig == nil {
		return m, err
	}
	l, err := c.ports.Links.Link(ctx, key.Link)
	if err != nil {
		return m, err
	}
	if m.SourceLogin, err = c.otherLogin(ctx, l.Source, key.Number); err != nil {
		return m, err
	}
	m.TargetLogin, err = c.otherLogin(ctx, l.Target, key.Number)
	return m, err
}

// otherLogin is by which log-in a store knows a mailbox; "" where that is its
// number, or where it cannot be told, which the mailbox's syncs say.
func (c *Control) otherLogin(ctx context.Context, store string, number mailbox.Number) (string, error) {
	logins, _, err := c.ports.DirectoryConfig.Logins(ctx, store)
	if err != nil {
		return "", err
	}
	login, err := logins.Login(string(number))
	if err != nil || login == string(number) {
		return "", nil //nolint:nilerr // see above
	}
	return login, nil
}

// Mailboxes lists the mailboxes of a link by number.
func (c *Control) Mailboxes(ctx context.Context, link string) ([]site.Mailbox, error) {
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return nil, err
	}
	return c.ports.Mailboxes.Mailboxes(ctx, link, "", 0)
}
