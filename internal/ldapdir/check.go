package ldapdir

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// CheckReport is what a look at a directory found.
type CheckReport struct {
	verdict.Directory
	// Paged and Assertion say whether the server has the controls (RFC 2696, RFC
	// 4528); ID and Version are the attributes that name an entry for its life
	// and that change with it.
	Paged, Assertion bool
	ID, Version      string
	Columns          []CheckColumn
}

// CheckColumn is what was found about one column's attribute.
type CheckColumn struct {
	Column    directory.Column
	Attribute string
	Known     bool // the schema has it, or could not be read
	Single    bool // it takes one value at most
	Sampled   int  // entries that were looked at
	Having    int  // those of them that show a value
}

// How much of the directory a check looks at: an operator waits before it.
const (
	checkTime   = 15 * time.Second
	checkSample = 200
	// slowConnect is from when on connecting and the bind are slow.
	slowConnect = 3 * time.Second
)

var errEnough = errors.New("enough was seen")

// Check connects, binds and looks whether the directory can be mirrored by the
// mapping. An error is what kept it from looking further; the report then holds
// what was found before.
func (s *Store) Check(ctx context.Context) (CheckReport, error) {
	var r CheckReport
	session, err := s.Open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { _ = session.Close() }()
	if r.Connect = session.took; r.Connect > slowConnect {
		r.Advice = append(r.Advice, fmt.Sprintf("the server is slow: it took %s until it answered the bind; see its log", r.Connect.Round(time.Second)))
	}
	if state := session.tls; state != nil {
		r.TLS = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
		if len(state.PeerCertificates) > 0 {
			r.CertificateExpires = state.PeerCertificates[0].NotAfter
		}
	}
	v, err := session.learn(ctx)
	if err != nil {
		return r, err
	}
	r.Server, r.Release, r.ID, r.Version = v.name, v.release, v.id, v.version
	r.Paged, r.Assertion = v.has(controlPaged), v.has(controlAssertion)
	r.Faults = s.unknown(v.schema)
	s.adviseServer(v, &r)
	s.adviseNewEntries(v, &r)
	for _, c := range mapped(s.opts.Mapping) {
		name := s.opts.Mapping.Names[c]
		a, known := v.schema.attribute(name)
		r.Columns = append(r.Columns, CheckColumn{Column: c, Attribute: name, Known: known, Single: a != nil && a.single})
	}
	if len(r.Faults) > 0 {
		return r, nil // a search would find nothing, and call that a success
	}
	if err := session.count(ctx, &r); err != nil {
		return r, err
	}
	if err := session.sample(ctx, v, &r); err != nil {
		return r, err
	}
	s.adviseRights(&r)
	return r, nil
}

// adviseServer tells what the server lacks.
func (s *Store) adviseServer(v *server, r *CheckReport) {
	advise := func(text string) { r.Advice = append(r.Advice, text) }
	if v.schema == nil {
		advise("the schema may not be read: whether the mapping names what the server has is not known; let the bind DN read the subschema")
	}
	switch {
	case v.controls == nil:
		advise("the root entry may not be read: which controls the server has is not known; let the bind DN read it")
	case !r.Paged:
		r.Faults = append(r.Faults, "the server cannot hand over entries in pages (RFC 2696)")
	}
	if r.ID == "" {
		advise("entries have neither entryUUID nor nsUniqueId, or the bind DN may not see them: a changed number is a deletion and a creation")
	}
	switch r.Version {
	case "":
		advise("entries have neither entryCSN nor modifyTimestamp, or the bind DN may not see them: changes made here meanwhile are not noticed")
	case "modifyTimestamp":
		advise("entries tell their changes by the second only: two changes within one are not told apart")
	}
	if v.controls != nil && !r.Assertion {
		advise("the server has no assertion control (RFC 4528): as a target, a change by another hand within a millisecond may be written over")
	}
	if s.opts.Security == site.SecurityNone {
		advise("passwords cross the network as they are: use starttls or tls")
	}
}

// adviseNewEntries tells what stands against creating entries, which matters
// only for a target.
func (s *Store) adviseNewEntries(v *server, r *CheckReport) {
	m := s.opts.Mapping
	if v.schema == nil {
		return
	}
	classes := m.NewClasses
	if len(classes) == 0 {
		classes = []string{m.ObjectClass}
	}
	for _, c := range classes {
		if _, ok := v.schema.class(c); !ok && !strings.EqualFold(c, m.ObjectClass) {
			r.Faults = append(r.Faults, "the schema has no object class "+c+" (for new entries)")
		}
	}
	must, may, anything := v.schema.contents(classes)
	given := func(name string) bool {
		for _, own := range m.Names {
			if v.schema.same(own, name) {
				return true
			}
		}
		for own := range m.Needs {
			if v.schema.same(own, name) {
				return true
			}
		}
		return strings.EqualFold(name, "objectClass")
	}
	for _, name := range must {
		if !given(name) {
			r.Advice = append(r.Advice, "new entries need "+name+", which the mapping does not give: as a target, no entry can be created")
		}
	}
	allowed := slices.Concat(must, may)
	for _, c := range mapped(m) {
		name := m.Names[c]
		if _, known := v.schema.attribute(name); !known || anything {
			continue
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return v.schema.same(a, name) }) {
			r.Advice = append(r.Advice, fmt.Sprintf("the classes of new entries do not allow %s (%s): as a target, it is refused", name, c))
		}
	}
}

// count goes through all mailboxes without their values, which finds the limits
// of the server; it ends before an operator loses patience.
func (s *Session) count(ctx context.Context, r *CheckReport) error {
	end := time.Now().Add(checkTime)
	request := s.search(s.known, mailboxes(s.store.opts.Mapping))
	request.Attributes = []string{"1.1"}
	err := s.pages(ctx, "count the entries", request, func(*ldap.Entry) error {
		r.Entries++
		if r.Entries%pageSize == 0 && time.Now().After(end) {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		r.AtLeast = true
	case fault.Is(err, fault.Config):
		// A limit, or a right: found where it was to be found.
		r.AtLeast = true
		text := fmt.Sprintf("after %d entries: %s", r.Entries, err)
		if hint := fault.HintOf(err); hint != "" {
			text += "; " + hint
		}
		r.Faults = append(r.Faults, text)
	case err != nil:
		return err
	}
	return nil
}

// sample looks at some entries for which attributes they show.
func (s *Session) sample(ctx context.Context, v *server, r *CheckReport) error {
	request := s.search(v, mailboxes(s.store.opts.Mapping))
	request.TypesOnly = true
	_, err := s.page(ctx, request, checkSample, nil, func(e *ldap.Entry) error {
		for i := range r.Columns {
			c := &r.Columns[i]
			c.Sampled++
			if slices.ContainsFunc(e.Attributes, func(a *ldap.EntryAttribute) bool { return v.schema.same(a.Name, c.Attribute) }) {
				c.Having++
			}
		}
		return nil
	})
	if err != nil && !isCode(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded) {
		return s.readFailed("look at some entries", err)
	}
	return nil
}

// adviseRights tells of attributes that nobody shows. Whether they are hidden or
// empty no server says.
func (s *Store) adviseRights(r *CheckReport) {
	if r.Entries == 0 {
		r.Advice = append(r.Advice, "no mailbox was found: there is none yet, or the bind DN, the filter or the object class hides them")
		return
	}
	for _, c := range r.Columns {
		switch {
		case c.Sampled == 0 || c.Having > 0:
		case c.Column == directory.MailboxNumber:
			r.Faults = append(r.Faults, fmt.Sprintf("none of %d entries shows its number (%s): give the bind DN the right to read it", c.Sampled, c.Attribute))
		default:
			r.Advice = append(r.Advice, fmt.Sprintf("none of %d entries shows %s (%s): either nobody has one, or the bind DN may not read it", c.Sampled, c.Attribute, c.Column))
		}
	}
}
