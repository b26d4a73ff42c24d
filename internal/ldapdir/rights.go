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
)

// specimens is how many entries are looked at for one that is not protected.
const specimens = 20

// Rights is what was found out about writing, where nothing was written.
type Rights struct {
	// Writable are the attributes that may be written, as the mapping names them.
	Writable []string
	// TriedOn is the name of the entry that stands for all; "" where there is none.
	TriedOn string
	// Faults are what may not, Advice what could not be found out: sentences for the
	// operator.
	Faults, Advice []string
}

// CheckRights finds out which of the mapping's attributes the trusted server may
// write, by requests that cannot be carried out, none at or after the deadline of
// ctx. Each adds a value that nobody has, takes it away, and takes it away once more,
// which fails, and a modification is made as a whole or not at all (RFC 4511, 4.6);
// a server that made it nevertheless would leave the entry as it was. OpenLDAP and
// 389 Directory Server look at the rights first. With its error it returns what was
// found before.
func (s *Store) CheckRights(ctx context.Context) (Rights, error) {
	session, err := s.Open(ctx)
	if err != nil {
		return Rights{}, err
	}
	defer func() { _ = session.Close() }()
	v, err := session.preflight(ctx)
	if err != nil {
		return Rights{}, err
	}
	entry, err := session.specimen(ctx, v)
	switch {
	case err != nil:
		return Rights{}, err
	case entry == nil:
		return Rights{Advice: []string{"there is no entry yet that is not protected, on which the right to write could be tried: the first run tells"}}, nil
	}
	t := trial{session: session, entry: *entry, value: strconv.FormatInt(time.Now().UnixNano(), 10)}
	err = t.attributes(ctx)
	return t.found(v), err
}

// specimen picks an entry that is not protected; nil where the first ones all are.
func (s *Session) specimen(ctx context.Context, v *server) (*directory.Entry, error) {
	page, err := s.page(ctx, s.search(v, mailboxes(s.store.opts.Mapping)), specimens, nil)
	if err != nil && !isCode(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded) {
		return nil, s.readFailed("look for an entry to try rights on", err)
	}
	for _, e := range page.Entries {
		entry := s.store.entry(v, e)
		switch err := s.shield(ctx, &entry); {
		case fault.Is(err, fault.Conflict): // it has gone
		case err != nil:
			return nil, err
		case !entry.Protected:
			return &entry, nil
		}
	}
	return nil, nil
}

// trial is one look at the rights to an entry's attributes.
type trial struct {
	session *Session
	entry   directory.Entry
	value   string // one that nobody has
	answers []answer
}

// answer is what the server said to the change of an attribute.
type answer struct {
	attribute string
	column    directory.Column
	code      uint16
}

func (t *trial) attributes(ctx context.Context) error {
	m := t.session.store.opts.Mapping
	for _, c := range mapped(m) {
		code, err := t.change(ctx, m.Names[c], t.value)
		if err == nil && code == ldap.LDAPResultInvalidAttributeSyntax {
			// It may be a Boolean (RFC 4517, 3.3.3): the one that the entry has not.
			other := "TRUE"
			if slices.ContainsFunc(t.entry.Values[c], func(v []byte) bool { return strings.EqualFold(string(v), other) }) {
				other = "FALSE"
			}
			code, err = t.change(ctx, m.Names[c], other)
		}
		if err != nil {
			return err
		}
		t.answers = append(t.answers, answer{m.Names[c], c, code})
	}
	return nil
}

// change asks for what cannot be done, and returns the code of the server's answer.
func (t *trial) change(ctx context.Context, attribute, value string) (uint16, error) {
	request := &ldap.ModifyRequest{DN: t.entry.DN}
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
func (t *trial) found(v *server) Rights {
	r := Rights{TriedOn: t.entry.DN}
	if !slices.ContainsFunc([]string{openLDAP, ds389}, func(known string) bool { return strings.HasPrefix(v.name, known) }) {
		r.Advice = append(r.Advice, "whether this kind of server looks at the rights before it looks at values is not known: the first run tells what may be written")
	}
	var codes []uint16
	of := map[uint16][]string{}
	for _, a := range t.answers {
		switch a.code {
		case ldap.LDAPResultSuccess, ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultInappropriateMatching,
			ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultObjectClassViolation, ldap.LDAPResultNotAllowedOnRDN:
			// What is said after a look at the rights.
			r.Writable = append(r.Writable, a.attribute)
			continue
		}
		if of[a.code] == nil {
			codes = append(codes, a.code)
		}
		of[a.code] = append(of[a.code], fmt.Sprintf("%s (%s)", a.attribute, a.column))
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
