package ldapdir

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

const (
	// pageSize is how many entries are asked for at once. They are handed over one by
	// one as they come.
	pageSize = 500
	// smallestPage is down to what is tried where a server gives fewer.
	smallestPage = 20
	// maxProtected bounds the entries that filters protect: they are kept while
	// an extract runs. More of them are a filter that means something else.
	maxProtected = 100_000
	// maxEmptyPages in a row end an extract that would have no end.
	maxEmptyPages = 1000
	// maxEntries bounds an extract of a server that goes on for ever.
	maxEntries = 5_000_000
	// maxShort is how many bytes an id, a version, a number or a log-in has at most.
	maxShort = 1 << 10
)

// Extract hands every mailbox to each, and tells what there was. Values that are
// secret or large are handed to digest. It is complete or an error: every page
// ended with success, the last one with an empty cookie (RFC 2696), and none
// referred to another server. With an error what was handed over is not to be
// believed. An entry that is renamed meanwhile may come twice, or not.
//
// If the connection is lost while entries are read, or an entry is larger than
// Mailmirror accepts, the extract goes on with what it lacks, on new connections, and
// finds by halving the entries that cannot be read: see directory.Record.Unread.
func (s *Session) Extract(ctx context.Context, digest func(directory.Column, []byte) []byte, each func(directory.Record) error) (directory.Extracted, error) {
	const what = "read all entries"
	found := directory.Extracted{Having: map[directory.Column]int{}, Rule: s.store.opts.Mapping.LoginRule()}
	v, err := s.preflight(ctx)
	if err != nil {
		return found, err
	}
	shielded, err := s.shielded(ctx, v)
	if err != nil {
		return found, err
	}
	// A column that nobody has is told, too.
	for _, column := range mapped(s.store.opts.Mapping) {
		found.Having[column] = 0
	}
	x := &isolation{s: s, v: v, what: what, read: map[entryKey]bool{}}
	x.take = func(e *ldap.Entry) error {
		entry := s.store.entry(v, e)
		entry.Protected = entry.Protected || shielded[identity(entry.Ref)]
		x.read[keyOf(entry.Ref)] = true
		found.Entries++
		if entry.Login != "" {
			found.Logins++
		}
		for column := range found.Having {
			if len(entry.Values[column]) > 0 || len(entry.Tagged(column)) > 0 {
				found.Having[column]++
			}
		}
		return each(directory.NewRecord(entry, digest))
	}
	x.unread = func(n named, err error) error {
		found.Entries++
		text, hint := unreadText(n, err)
		// Without a number nobody knows to which entry of the other side it belongs.
		found.Partial = found.Partial || n.number == ""
		found.Unread = append(found.Unread, directory.Unread{Number: n.number, Text: text, Hint: hint})
		return each(directory.Record{Ref: n.Ref, Number: n.number, Unread: true})
	}
	err = s.pages(ctx, what, s.search(v, mailboxes(s.store.opts.Mapping)), x.take)
	if err != nil && ctx.Err() == nil && s.ofEntry(err) {
		err = x.run(ctx, err)
		found.Partial = found.Partial || x.partial
	}
	if err != nil {
		return directory.Extracted{}, err
	}
	return found, nil
}

// identity is by what an entry is known while an extract runs.
func identity(ref directory.Ref) string {
	if ref.ID != "" {
		return ref.ID
	}
	return "dn " + strings.ToLower(ref.DN)
}

// shielded finds the entries that the protected filters name.
func (s *Session) shielded(ctx context.Context, v *server) (map[string]bool, error) {
	const what = "read the protected entries"
	if s.store.shield == "" {
		return nil, nil
	}
	request := s.search(v, both(mailboxes(s.store.opts.Mapping), s.store.shield))
	// RFC 4511, 4.5.1.8: no attributes, where there is no id to ask for.
	request.Attributes = []string{"1.1"}
	if v.id != "" {
		request.Attributes = []string{v.id}
	}
	found := map[string]bool{}
	err := s.pages(ctx, what, request, func(e *ldap.Entry) error {
		if len(found) >= maxProtected {
			return fault.New(fault.Config, s.op(what), fmt.Errorf("more than %d entries are protected", maxProtected), "correct the protected filters")
		}
		id := withTexts(e).GetEqualFoldAttributeValue(v.id)
		if len(id) > maxShort {
			id = ""
		}
		found[identity(directory.Ref{ID: id, DN: e.DN})] = true
		return nil
	})
	return found, err
}

// search asks for the entries below the base for which a filter holds.
func (s *Session) search(v *server, filter string) *ldap.SearchRequest {
	m := s.store.opts.Mapping
	scope := ldap.ScopeWholeSubtree
	if m.Scope == directory.ScopeOne {
		scope = ldap.ScopeSingleLevel
	}
	return &ldap.SearchRequest{BaseDN: m.BaseDN, Scope: scope, Filter: filter, Attributes: s.store.wanted(v)}
}

// pages runs a search page by page and hands each entry to each as it comes. An
// error of each ends it, at the end of the page, and is returned as it is.
func (s *Session) pages(ctx context.Context, what string, request *ldap.SearchRequest, each func(*ldap.Entry) error) error {
	size, empty, total := pageSize, 0, 0
	var cookie []byte
	for {
		page, err := s.page(ctx, request, size, cookie, each)
		if cookie == nil && page.entries == 0 && size > smallestPage && isCode(err, ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultUnwillingToPerform) {
			// The server may give smaller pages only: OpenLDAP's size.pr.
			size = max(smallestPage, size/5)
			continue
		}
		switch {
		case page.failed != nil:
			return page.failed
		case err != nil:
			return s.readFailed(what, err)
		case page.references > 0:
			return fault.New(fault.Config, s.op(what), errors.New("the server refers to another one for some of the entries"),
				"name a base below which it has all entries itself")
		case !page.paged:
			return fault.New(fault.Transient, s.op(what), errors.New("the server does not say whether more entries follow"), "")
		case len(page.cookie) == 0:
			return nil
		}
		cookie = page.cookie
		if empty++; page.entries > 0 {
			empty = 0
		}
		if empty > maxEmptyPages {
			return fault.New(fault.Transient, s.op(what), errors.New("the server sends one empty page after another"), "")
		}
		if total += page.entries; total > maxEntries {
			return fault.New(fault.Config, s.op(what), fmt.Errorf("the server sends more than %d entries", maxEntries),
				"does it send the same ones again and again? see its log, and the base DN")
		}
	}
}

// page is what one page of a search came to.
type page struct {
	entries, references int
	cookie              []byte // where the next page begins; empty at the end
	paged               bool   // the server said where the next page begins, or that there is none
	failed              error  // the first error of whom the entries were handed to
}

// page asks for one page and hands its entries to each. The server's refusal is the
// library's own error.
func (s *Session) page(ctx context.Context, request *ldap.SearchRequest, size int, cookie []byte, each func(*ldap.Entry) error) (page, error) {
	var p page
	paging := ldap.NewControlPaging(uint32(size))
	paging.SetCookie(cookie)
	request.Controls = []ldap.Control{paging}
	controls, references, err := s.find(ctx, request, size, func(e *ldap.Entry) {
		if p.entries++; p.failed == nil {
			p.failed = each(e)
		}
	})
	p.references = references
	if next, ok := ldap.FindControl(controls, controlPaged).(*ldap.ControlPaging); ok {
		p.paged, p.cookie = true, next.Cookie
	}
	return p, err
}
