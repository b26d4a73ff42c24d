package ldapdir

import (
	"context"
	"errors"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

// Read returns an entry as it is now, with all its values: by its ID where that
// is known, otherwise, or where the ID is gone, by its DN, which may hold an
// entry of another ID by now. directory.ErrNoEntry is in the error where neither
// finds one that is mirrored.
func (s *Session) Read(ctx context.Context, ref directory.Ref) (directory.Entry, error) {
	const what = "read an entry"
	v, err := s.preflight(ctx)
	if err != nil {
		return directory.Entry{}, err
	}
	if ref.ID != "" && v.id != "" {
		found, err := s.collect(ctx, v, what, both(mailboxes(s.store.opts.Mapping), equals(v.id, ref.ID)))
		switch {
		case err != nil:
			return directory.Entry{}, err
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return directory.Entry{}, fault.New(fault.Permanent, s.op(what), errors.New("several entries have the same "+v.id), "see the server's log")
		}
	}
	e, err := s.readByName(ctx, v, ref.DN)
	if err != nil {
		return directory.Entry{}, err
	}
	return e, s.shield(ctx, &e)
}

// readByName reads the entry of a DN, which has to be where the mapping says.
func (s *Session) readByName(ctx context.Context, v *server, name string) (directory.Entry, error) {
	const what = "read an entry by its name"
	none := fault.New(fault.Permanent, s.op(what), directory.ErrNoEntry, "")
	parsed, err := directory.ParseDN(name)
	if err != nil || !parsed.Below(s.store.base) {
		return directory.Entry{}, none
	}
	if s.store.opts.Mapping.Scope == directory.ScopeOne && len(parsed) != len(s.store.base)+1 {
		return directory.Entry{}, none
	}
	e, err := s.lookup(ctx, name, mailboxes(s.store.opts.Mapping), s.store.wanted(v)...)
	switch {
	case isCode(err, ldap.LDAPResultNoSuchObject), err == nil && e == nil:
		return directory.Entry{}, none
	case err != nil:
		return directory.Entry{}, s.readFailed(what, err)
	}
	return s.store.entry(v, e), nil
}

// Find returns all entries that are called by a number.
func (s *Session) Find(ctx context.Context, number string) ([]directory.Entry, error) {
	v, err := s.preflight(ctx)
	if err != nil {
		return nil, err
	}
	return s.collect(ctx, v, "find a number",
		both(mailboxes(s.store.opts.Mapping), equals(s.store.opts.Mapping.Names[directory.MailboxNumber], number)))
}

// maxCollected bounds the entries that are wanted one by one, and collectedBytes
// what their values have together.
const (
	maxCollected   = 1000
	collectedBytes = 2 * maxMessage
)

// collect returns the entries for which a filter holds.
func (s *Session) collect(ctx context.Context, v *server, what, filter string) ([]directory.Entry, error) {
	var found []directory.Entry
	size := 0
	err := s.pages(ctx, what, s.search(v, filter), func(e *ldap.Entry) error {
		if size += sizeOf(e); len(found) >= maxCollected || size > collectedBytes {
			return fault.New(fault.Permanent, s.op(what), errors.New("far too many entries answer to it"), "")
		}
		found = append(found, s.store.entry(v, e))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range found {
		if err := s.shield(ctx, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// shield marks an entry that a protected filter names.
func (s *Session) shield(ctx context.Context, e *directory.Entry) error {
	if s.store.shield == "" || e.Protected {
		return nil
	}
	held, err := s.lookup(ctx, e.DN, s.store.shield, "1.1")
	switch {
	case isCode(err, ldap.LDAPResultNoSuchObject):
		return fault.New(fault.Conflict, s.op("look whether an entry is protected"), errors.New("the entry has gone meanwhile"), "")
	case err != nil:
		return s.readFailed("look whether an entry is protected", err)
	}
	e.Protected = held != nil
	return nil
}
