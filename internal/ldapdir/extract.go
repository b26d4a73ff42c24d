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
	// pageSize is how many entries are asked for at once. With recorded names of
	// 12 kB that is some 6 MB, which is what an extract holds at most.
	pageSize = 500
	// smallestPage is down to what is tried where a server gives fewer.
	smallestPage = 20
	// maxProtected bounds the entries that filters protect: they are kept while
	// an extract runs. More of them are a filter that means something else.
	maxProtected = 100_000
	// maxEmptyPages in a row end an extract that would have no end.
	maxEmptyPages = 1000
)

// Extract hands every mailbox to each, and tells what there was. Values that are
// secret or large are handed to digest. It is complete or an error: every page
// ended with success, the last one with an empty cookie (RFC 2696), and none
// referred to another server. With an error what was handed over is not to be
// believed. An entry that is renamed meanwhile may come twice, or not.
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
	err = s.pages(ctx, what, s.search(v, mailboxes(s.store.opts.Mapping)), func(e *ldap.Entry) error {
		entry := s.store.entry(v, e)
		entry.Protected = entry.Protected || shielded[identity(entry.Ref)]
		found.Entries++
		if entry.Login != "" {
			found.Logins++
		}
		for column := range entry.Values {
			found.Having[column]++
		}
		return each(directory.NewRecord(entry, digest))
	})
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
		found[identity(directory.Ref{ID: e.GetEqualFoldAttributeValue(v.id), DN: e.DN})] = true
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

// pages runs a search page by page, each a synchronous search of the library:
// its asynchronous ones report a broken connection as success. An error of each
// ends it and is returned as it is.
func (s *Session) pages(ctx context.Context, what string, request *ldap.SearchRequest, each func(*ldap.Entry) error) error {
	size, empty := uint32(pageSize), 0
	var cookie []byte
	for {
		page, err := s.page(ctx, request, size, cookie)
		if cookie == nil && size > smallestPage && isCode(err, ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultUnwillingToPerform) {
			// The server may give smaller pages only: OpenLDAP's size.pr.
			size = max(smallestPage, size/5)
			continue
		}
		if err != nil {
			return s.readFailed(what, err)
		}
		if len(page.Referrals) > 0 {
			return fault.New(fault.Config, s.op(what), errors.New("the server refers to another one for some of the entries"),
				"name a base below which it has all entries itself")
		}
		paging, ok := ldap.FindControl(page.Controls, controlPaged).(*ldap.ControlPaging)
		if !ok {
			return fault.New(fault.Transient, s.op(what), errors.New("the server does not say whether more entries follow"), "")
		}
		for i, e := range page.Entries {
			page.Entries[i] = nil // so that it can go while the others are worked on
			if err := each(e); err != nil {
				return err
			}
		}
		if len(paging.Cookie) == 0 {
			return nil
		}
		cookie = paging.Cookie
		if empty++; len(page.Entries) > 0 {
			empty = 0
		}
		if empty > maxEmptyPages {
			return fault.New(fault.Transient, s.op(what), errors.New("the server sends one empty page after another"), "")
		}
	}
}

func (s *Session) page(ctx context.Context, request *ldap.SearchRequest, size uint32, cookie []byte) (page *ldap.SearchResult, err error) {
	paging := ldap.NewControlPaging(size)
	paging.SetCookie(cookie)
	request.Controls = []ldap.Control{paging}
	err = s.ask(ctx, func(c *ldap.Conn) (err error) {
		page, err = c.Search(request)
		return err
	})
	return page, err
}
