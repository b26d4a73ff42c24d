package ldapdir

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
)

const (
	// controlNoOp has a write go through all checks and be dropped
	// (draft-zeilenga-ldap-noop), by the number that OpenLDAP gave it. OpenLDAP has it
	// and does not announce it.
	controlNoOp = "1.3.6.1.4.1.4203.666.5.2"
	// resultNoOperation is OpenLDAP's answer to what would have been carried out.
	resultNoOperation = 0x410e
	// controlRights adds to what is read which rights somebody has to it
	// (draft-ietf-ldapext-acl-model).
	controlRights = "1.3.6.1.4.1.42.2.27.9.5.2"
	// specimens is how many entries are looked at for one that is not protected.
	specimens = 20
)

// Rights is what was found out about writing, where nothing was written.
type Rights struct {
	// Writable are the attributes that may be written, and what may be done with
	// entries.
	Writable []string
	// TriedOn is the name of the entry that stands for all; "" where there is none.
	TriedOn string
	// Faults are what may not, Advice what could not be found out: sentences for the
	// operator.
	Faults, Advice []string
}

// CheckRights finds out whether the trusted server may write what a target has to
// be given, and changes nothing: 389 Directory Server is asked for the rights, and
// OpenLDAP is sent writes under the No-Op control, none at or after the deadline of
// ctx. A false assertion (RFC 4528) would not do, as OpenLDAP answers it before it
// looks at the rights.
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
	t := &trial{session: session, server: v, mapping: s.opts.Mapping,
		fresh: strconv.FormatInt(time.Now().UnixNano(), 10)}
	switch {
	case v.has(controlRights):
		err = t.choose(ctx)
		if err == nil {
			err = t.ask(ctx)
		}
	case v.name == openLDAP:
		err = t.choose(ctx)
		if err == nil {
			err = t.pretend(ctx)
		}
	default:
		t.unknown("this server has no way to try the right to write without a change")
	}
	t.refused()
	return t.found, err
}

// trial is one look at the rights.
type trial struct {
	session *Session
	server  *server
	mapping directory.Mapping
	// entry is one on which rights are tried; nil where there is none.
	entry *directory.Entry
	fresh string // a value, and a number, that nobody has
	found Rights
	// barred is what may not be written.
	barred []barred
	// honoured is true once the server answered that it dropped a write, onEntry
	// once it did of the entry: another backend may hold the base.
	honoured, onEntry bool
	// sent is true once the server has taken or refused a write for a reason of its
	// own.
	sent bool
}

// barred is something that may not be written, and why.
type barred struct{ what, why string }

func (t *trial) unknown(why string) {
	t.found.Advice = append(t.found.Advice, why+": the first run tells")
}

// refused tells what may not be written, all of one cause in one sentence.
func (t *trial) refused() {
	for len(t.barred) > 0 {
		why := t.barred[0].why
		var all []string
		t.barred = slices.DeleteFunc(t.barred, func(b barred) bool {
			if b.why == why {
				all = append(all, b.what)
			}
			return b.why == why
		})
		t.found.Faults = append(t.found.Faults, "as a target, it refuses "+strings.Join(all, ", ")+": "+why+
			"; give the bind DN the right to write below the base DN, if it is not read-only")
	}
}

// choose picks an entry that is not protected.
func (t *trial) choose(ctx context.Context) error {
	page, err := t.session.page(ctx, t.session.search(t.server, mailboxes(t.mapping)), specimens, nil)
	if err != nil && !isCode(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded) {
		return t.session.readFailed("look for an entry to try rights on", err)
	}
	for _, e := range page.Entries {
		entry := t.session.store.entry(t.server, e)
		if err := t.session.shield(ctx, &entry); err != nil {
			return err
		}
		if !entry.Protected {
			t.entry, t.found.TriedOn = &entry, entry.DN
			return nil
		}
	}
	return nil
}

// ask reads which rights the server gives. Of a directory without entries it makes
// one up that would be of the class.
func (t *trial) ask(ctx context.Context) error {
	request := &ldap.SearchRequest{BaseDN: t.mapping.BaseDN, Scope: ldap.ScopeBaseObject, Filter: "(objectClass=*)",
		Controls: []ldap.Control{ldap.NewControlString(controlRights, true, "dn: "+t.session.store.opts.BindDN)}}
	of := "@" + t.mapping.ObjectClass
	if t.entry != nil {
		request.BaseDN, of = t.entry.DN, ""
	}
	for _, c := range mapped(t.mapping) {
		request.Attributes = append(request.Attributes, t.mapping.Names[c]+of)
	}
	var found *ldap.SearchResult
	err := t.session.ask(ctx, func(c *ldap.Conn) (err error) {
		found, err = c.Search(request)
		return err
	})
	switch answer, answered := answerOf(err); {
	case answered:
		t.unknown("the server does not tell the rights of the bind DN: " + codeName(answer.ResultCode))
		return nil
	case err != nil:
		return t.session.lost("ask for the rights", err)
	}
	var attributes, letters string
	if n := len(found.Entries); n > 0 { // what is made up comes after the base
		attributes = found.Entries[n-1].GetEqualFoldAttributeValue("attributeLevelRights")
		letters = found.Entries[n-1].GetEqualFoldAttributeValue("entryLevelRights")
	}
	if attributes == "" && letters == "" {
		t.unknown("the server does not tell the rights of the bind DN")
		return nil
	}
	rights := map[string]string{}
	for one := range strings.SplitSeq(attributes, ",") {
		name, given, _ := strings.Cut(strings.TrimSpace(one), ":")
		rights[strings.ToLower(name)] = given
	}
	for _, c := range mapped(t.mapping) {
		name := t.mapping.Names[c]
		given, told := rights[strings.ToLower(name)]
		switch {
		case !told:
			t.unknown("the server does not tell whether " + name + " may be written")
		case strings.Contains(given, "w") && strings.Contains(given, "o"): // values may be added, and taken away
			t.found.Writable = append(t.found.Writable, name)
		default:
			t.barred = append(t.barred, barred{attributeOf(name, c), "the server tells so"})
		}
	}
	for _, r := range []struct{ letter, what string }{{"a", creations}, {"n", renames}, {"d", deletions}} {
		switch {
		case letters == "":
			t.unknown("the server does not tell whether it takes " + r.what)
		case strings.Contains(letters, r.letter):
			t.found.Writable = append(t.found.Writable, r.what)
		default:
			t.barred = append(t.barred, barred{r.what, "the server tells so"})
		}
	}
	return nil
}

// What may be done with entries.
const (
	creations = "new entries"
	renames   = "new names"
	deletions = "deletions"
)

func attributeOf(name string, c directory.Column) string { return fmt.Sprintf("%s (%s)", name, c) }

// errNoTrial ends a trial: whatever is asked next is answered alike.
var errNoTrial = errors.New("nothing more can be tried")

// pretend sends writes that are to be dropped. Those of attributes come first: a
// value that nobody has is added and taken away again, so that they would leave
// every value as it is even where they were not. Only when the server has said of
// one that it was dropped are those sent that would change something.
func (t *trial) pretend(ctx context.Context) error {
	if t.entry == nil {
		t.unknown("there is no entry yet on which the right to write attributes could be tried")
	}
	for _, c := range mapped(t.mapping) {
		if t.entry == nil {
			break
		}
		if err := t.attribute(ctx, c); err != nil {
			return t.over(err)
		}
	}
	if !t.honoured {
		// The base has an attribute that is neither mirrored nor used here.
		if _, err := t.nothing(ctx, t.mapping.BaseDN, "description", t.fresh); err != nil {
			return t.over(err)
		}
	}
	if !t.honoured {
		t.unknown("whether it takes " + creations + ", " + renames + " and " + deletions + " cannot be tried, as it has taken nothing else")
		return nil
	}
	tries := []func(context.Context) error{t.create}
	switch {
	case t.onEntry:
		tries = append(tries, t.rename, t.remove)
	case t.entry != nil:
		t.unknown("whether it takes " + renames + " and " + deletions + " cannot be tried, as it has taken nothing else of the entry")
	}
	for _, try := range tries {
		if err := try(ctx); err != nil {
			return t.over(err)
		}
	}
	return nil
}

func (t *trial) over(err error) error {
	if errors.Is(err, errNoTrial) {
		return nil
	}
	return err
}

func (t *trial) attribute(ctx context.Context, c directory.Column) error {
	name := t.mapping.Names[c]
	code, err := t.nothing(ctx, t.entry.DN, name, t.fresh)
	if err == nil && code == ldap.LDAPResultInvalidAttributeSyntax {
		// It may be a Boolean (RFC 4517, 3.3.3): the one that the entry has not.
		other := "TRUE"
		if slices.ContainsFunc(t.entry.Values[c], func(v []byte) bool { return strings.EqualFold(string(v), other) }) {
			other = "FALSE"
		}
		code, err = t.nothing(ctx, t.entry.DN, name, other)
	}
	if err != nil {
		return err
	}
	t.onEntry = t.onEntry || code == resultNoOperation
	switch code {
	case resultNoOperation,
		// OpenLDAP looks at the rights before it looks at the values and the schema.
		ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultInappropriateMatching, ldap.LDAPResultAttributeOrValueExists,
		ldap.LDAPResultObjectClassViolation, ldap.LDAPResultNotAllowedOnRDN:
		t.found.Writable = append(t.found.Writable, name)
	case ldap.LDAPResultInsufficientAccessRights:
		t.barred = append(t.barred, barred{attributeOf(name, c), codeName(code)})
	default:
		t.unknown("whether it takes " + attributeOf(name, c) + " cannot be tried: " + codeName(code))
	}
	return nil
}

// nothing adds a value to an attribute and takes it away again, under No-Op.
func (t *trial) nothing(ctx context.Context, dn, attribute, value string) (code uint16, err error) {
	request := &ldap.ModifyRequest{DN: dn, Controls: noOp()}
	request.Add(attribute, []string{value})
	request.Delete(attribute, []string{value})
	return t.send(ctx, func(c *ldap.Conn) error { return c.Modify(request) })
}

// create pretends to create an entry that is like the one that there is, or has no
// more than it must.
func (t *trial) create(ctx context.Context) error {
	like := directory.Entry{Values: map[directory.Column][][]byte{}}
	if t.entry != nil {
		maps.Copy(like.Values, t.entry.Values)
	} else if t.server.schema != nil {
		classes := t.mapping.NewClasses
		if len(classes) == 0 {
			classes = []string{t.mapping.ObjectClass}
		}
		must, _, _ := t.server.schema.contents(classes)
		for _, c := range mapped(t.mapping) {
			if slices.ContainsFunc(must, func(name string) bool { return t.server.schema.same(name, t.mapping.Names[c]) }) {
				like.Values[c] = [][]byte{[]byte(t.fresh)}
			}
		}
	}
	like.Number, like.Values[directory.MailboxNumber] = t.fresh, [][]byte{[]byte(t.fresh)}
	operations, err := t.mapping.Plan(directory.Change{Kind: directory.Create, Number: t.fresh}, &like, nil, t.mapping)
	if err != nil || len(operations) == 0 || operations[0].Add == nil {
		t.unknown("whether it takes " + creations + " cannot be tried")
		return nil //nolint:nilerr // that is what is told
	}
	request := &ldap.AddRequest{DN: operations[0].Add.DN, Controls: noOp()}
	for name, values := range operations[0].Add.Attributes {
		request.Attribute(name, texts(values))
	}
	return t.done(ctx, creations, func(c *ldap.Conn) error { return c.Add(request) })
}

// rename pretends to give the entry another number, where that is part of its name.
func (t *trial) rename(ctx context.Context) error {
	if t.entry == nil {
		return nil
	}
	other := directory.Entry{Number: t.fresh, Values: map[directory.Column][][]byte{directory.MailboxNumber: {[]byte(t.fresh)}}}
	number := directory.Mapping{Names: map[directory.Column]string{directory.MailboxNumber: t.mapping.Names[directory.MailboxNumber]}}
	operations, err := t.mapping.Plan(directory.Change{Kind: directory.Renumber, Number: t.fresh}, &other, t.entry, number)
	if err != nil || len(operations) == 0 || operations[0].Rename == nil {
		return nil //nolint:nilerr // a new number is no new name then
	}
	request := &ldap.ModifyDNRequest{DN: t.entry.DN, NewRDN: operations[0].Rename.NewRDN, DeleteOldRDN: true, Controls: noOp()}
	return t.done(ctx, renames, func(c *ldap.Conn) error { return c.ModifyDN(request) })
}

// remove pretends to delete the entry.
func (t *trial) remove(ctx context.Context) error {
	if t.entry == nil {
		return nil
	}
	request := &ldap.DelRequest{DN: t.entry.DN, Controls: noOp()}
	return t.done(ctx, deletions, func(c *ldap.Conn) error { return c.Del(request) })
}

// done tells what became of a write of a whole entry.
func (t *trial) done(ctx context.Context, what string, exchange func(*ldap.Conn) error) error {
	code, err := t.send(ctx, exchange)
	switch {
	case err != nil:
		return err
	case code == resultNoOperation:
		t.found.Writable = append(t.found.Writable, what)
	case code == ldap.LDAPResultInsufficientAccessRights:
		t.barred = append(t.barred, barred{what, codeName(code)})
	default:
		t.unknown("whether it takes " + what + " cannot be tried: " + codeName(code))
	}
	return nil
}

// send returns what a write under No-Op was answered. What a server answers that
// takes no write, or does not know the control, it answers to all.
func (t *trial) send(ctx context.Context, exchange func(*ldap.Conn) error) (code uint16, err error) {
	err = t.session.ask(ctx, exchange)
	if e, ok := errors.AsType[*ldap.Error](err); ok && e.ResultCode == resultNoOperation {
		t.honoured, t.sent = true, true
		return resultNoOperation, nil
	}
	answer, answered := answerOf(err)
	switch {
	case err != nil && !answered:
		return 0, t.session.lost("try the right to write", err)
	case err == nil, answer.ResultCode == ldap.LDAPResultUnavailableCriticalExtension:
		t.unknown("this server does not know the No-Op control, by which the right to write could be tried without a change")
		return 0, errNoTrial
	}
	switch code = answer.ResultCode; code {
	case ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultReferral:
		if t.sent { // then it is about this write
			return code, nil
		}
		_, hint := refusal(code)
		t.found.Faults = append(t.found.Faults, "as a target, it takes no writes: "+codeName(code)+"; "+hint)
		return code, errNoTrial
	}
	t.sent = true
	return code, nil
}

func noOp() []ldap.Control {
	return []ldap.Control{ldap.NewControlString(controlNoOp, true, "")}
}
