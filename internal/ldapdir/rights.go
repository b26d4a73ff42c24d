package ldapdir

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/verdict"
)

const (
	// specimens is how many entries are looked at, and one of specimenOf tried.
	specimens  = 20
	specimenOf = 4
)

// CheckRights finds out which attributes of the columns the trusted server may
// write, by requests that cannot be carried out. It connects and looks first, and then
// calls lease, whose context is that of the requests: none is sent at or after its
// deadline. Each adds a value that nobody has, takes it away, and takes it away once more,
// which fails, and a modification is made as a whole or not at all (RFC 4511, 4.6).
// OpenLDAP and 389 Directory Server look at the rights first; others are not tried.
// What one entry refuses is tried on some others: rights may be another's there. With
// its error it returns what was found before.
func (s *Store) CheckRights(ctx context.Context, columns []directory.Column, lease func(context.Context) (context.Context, error)) (verdict.Rights, error) {
	session, err := s.Open(ctx)
	if err != nil {
		return verdict.Rights{}, err
	}
	defer func() { _ = session.Close() }()
	v, err := session.preflight(ctx)
	if err != nil {
		return verdict.Rights{}, err
	}
	if v.name != openLDAP && !strings.HasPrefix(v.name, ds389) {
		return verdict.Rights{Advice: []string{"of this kind of server it is not known whether the right to write can be tried without a change: the first run tells"}}, nil
	}
	entries, err := session.specimens(ctx, v)
	switch {
	case err != nil:
		return verdict.Rights{}, err
	case len(entries) == 0:
		return verdict.Rights{Advice: []string{"no entry was found that is not protected, on which the right to write could be tried: the first run tells"}}, nil
	}
	t := trial{session: session, value: strconv.FormatInt(time.Now().UnixNano(), 10)}
	for _, c := range mapped(s.opts.Mapping) {
		if slices.Contains(columns, c) {
			t.answers = append(t.answers, answer{attribute: s.opts.Mapping.Names[c], column: c})
		}
	}
	writing, err := lease(ctx)
	if err != nil {
		return verdict.Rights{}, err
	}
	err = t.run(writing, entries)
	return t.found(), err
}

// specimens picks entries that are not protected, from all over the first ones.
func (s *Session) specimens(ctx context.Context, v *server) ([]directory.Entry, error) {
	filter := mailboxes(s.store.opts.Mapping)
	if s.store.shield != "" {
		filter = both(filter, "(!"+s.store.shield+")")
	}
	var picked []directory.Entry
	free := 0
	_, err := s.page(ctx, s.search(v, filter), specimens, nil, func(e *ldap.Entry) error {
		entry := s.store.entry(v, e)
		if entry.Protected {
			return nil
		}
		if free%specimenOf == 0 {
			// A try asks only whether a Boolean is there.
			for column, values := range entry.Values {
				entry.Values[column] = slices.DeleteFunc(values, func(v []byte) bool { return len(v) > maxShort })
			}
			picked = append(picked, entry)
		}
		free++
		return nil
	})
	if err != nil && !isCode(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded) {
		return nil, s.readFailed("look for an entry to try rights on", err)
	}
	return picked, nil
}

// trial is one look at the rights to the attributes of entries.
type trial struct {
	session *Session
	value   string // one that nobody has
	first   string // the name of the entry that was tried first
	answers []answer
}

// answer is what the server said last to the change of an attribute.
type answer struct {
	attribute string
	column    directory.Column
	tries     int // how many entries were tried
	code      uint16
}

func (a answer) String() string { return fmt.Sprintf("%s (%s)", a.attribute, a.column) }

// run tries the entries until each attribute was taken of one.
func (t *trial) run(ctx context.Context, entries []directory.Entry) error {
	t.first = entries[0].DN
	for _, e := range entries {
		for i := range t.answers {
			a := &t.answers[i]
			if a.taken() {
				continue
			}
			code, err := t.attribute(ctx, e, *a)
			if err != nil {
				return err
			}
			a.code = code
			a.tries++
		}
	}
	return nil
}

// taken reports whether an answer is one that comes after a look at the rights.
func (a answer) taken() bool {
	switch a.code {
	case ldap.LDAPResultSuccess, ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultInappropriateMatching,
		ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultObjectClassViolation, ldap.LDAPResultNotAllowedOnRDN:
		return a.tries > 0
	}
	return false
}

func (t *trial) attribute(ctx context.Context, e directory.Entry, a answer) (uint16, error) {
	code, err := t.change(ctx, e.DN, a.attribute, t.value)
	if err == nil && code == ldap.LDAPResultInvalidAttributeSyntax {
		// It may be a Boolean (RFC 4517, 3.3.3): the one that the entry has not.
		other := "TRUE"
		if slices.ContainsFunc(e.Values[a.column], func(v []byte) bool { return strings.EqualFold(string(v), other) }) {
			other = "FALSE"
		}
		return t.change(ctx, e.DN, a.attribute, other)
	}
	return code, err
}

// change asks for what cannot be done, and returns the code of the server's answer.
func (t *trial) change(ctx context.Context, dn, attribute, value string) (uint16, error) {
	request := &ldap.ModifyRequest{DN: dn}
	request.Add(attribute, []string{value})
	request.Delete(attribute, []string{value})
	request.Delete(attribute, []string{value})
	err := t.session.ask(ctx, func(c *ldap.Conn) error { return c.Modify(request) })
	said, answered := answerOf(err)
	switch {
	case answered:
		return said.ResultCode, nil
	case err != nil:
		return 0, t.session.lost("try the right to write", err)
	}
	return ldap.LDAPResultSuccess, nil
}

// found says what the answers mean, all of one cause in one sentence.
func (t *trial) found() verdict.Rights {
	r := verdict.Rights{TriedOn: t.first}
	var partly []string
	var codes []uint16
	of := map[uint16][]string{}
	for _, a := range t.answers {
		switch {
		case a.tries == 0:
		case a.taken():
			r.Writable = append(r.Writable, a.attribute)
			if a.tries > 1 {
				partly = append(partly, a.String())
			}
		default:
			if of[a.code] == nil {
				codes = append(codes, a.code)
			}
			of[a.code] = append(of[a.code], a.String())
		}
	}
	if len(partly) > 0 {
		r.Advice = append(r.Advice, "as a target, it takes "+strings.Join(partly, ", ")+" of some entries, and did not of "+t.first)
	}
	for _, code := range codes {
		what := strings.Join(of[code], ", ")
		switch kind, hint := refusal(code); {
		case kind != fault.Config:
			r.Advice = append(r.Advice, "whether it takes "+what+" cannot be tried: "+codeName(code)+": the first run tells")
		case len(of[code]) == len(t.answers):
			r.Faults = append(r.Faults, "as a target, it takes no change: "+codeName(code)+"; "+hint)
		default:
			r.Faults = append(r.Faults, "as a target, it refuses "+what+": "+codeName(code)+"; "+hint)
		}
	}
	return r
}
