package ldapdir

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
)

// The controls that are used where the server has them.
const (
	controlPaged     = "1.2.840.113556.1.4.319" // RFC 2696
	controlAssertion = "1.3.6.1.1.12"           // RFC 4528
)

// What servers are called: OpenLDAP, which does not name itself, and how the name of
// 389 Directory Server begins.
const (
	openLDAP = "OpenLDAP"
	ds389    = "389"
)

// server is what a server tells of itself and of the base.
type server struct {
	name, release string
	controls      []string
	schema        *schema // nil where it may not be read
	// id and version are the attributes that name an entry for its life, and
	// that change with it; "" where there are none.
	id, version string
	// keys and places remember what was found out about names: an extract asks for
	// the same few of every entry.
	keys   map[string]attributeKey
	places map[string]place
}

// maxKnown bounds the names that are remembered.
const maxKnown = 1000

// key is the same for all names of an attribute with the same options.
func (v *server) key(name string) attributeKey {
	key, known := v.keys[name]
	if known {
		return key
	}
	key = v.schema.key(name)
	_, options := directory.SplitDescription(name)
	key.options = strings.Join(options, ";")
	if v.keys == nil {
		v.keys = map[string]attributeKey{}
	}
	if len(v.keys) < maxKnown {
		v.keys[name] = key
	}
	return key
}

// place is where the values of an attribute description belong.
type place struct {
	column  directory.Column
	options string
}

// place returns the column of an attribute description, and the options that it has
// beside those of the column's own name; "" if no column has it. If several columns
// have the attribute, the one with the most of the options has it.
func (v *server) place(m directory.Mapping, name string) (column directory.Column, options string) {
	if known, found := v.places[name]; found {
		return known.column, known.options
	}
	_, given := directory.SplitDescription(name)
	most := -1
	for _, c := range mapped(m) {
		_, own := directory.SplitDescription(m.Names[c])
		lacks := func(o string) bool { return !slices.Contains(given, o) }
		if len(own) <= most || slices.ContainsFunc(own, lacks) || !v.schema.same(name, m.Names[c]) {
			continue
		}
		most, column = len(own), c
		options = strings.Join(slices.DeleteFunc(slices.Clone(given), func(o string) bool { return slices.Contains(own, o) }), ";")
	}
	if v.places == nil {
		v.places = map[string]place{}
	}
	if len(v.places) < maxKnown {
		v.places[name] = place{column, options}
	}
	return column, options
}

func (v *server) has(control string) bool { return slices.Contains(v.controls, control) }

// learn asks the server once per session what it is.
func (s *Session) learn(ctx context.Context) (*server, error) {
	if s.known != nil {
		return s.known, nil
	}
	v := &server{}
	// RFC 4512, 5.1: the root DSE tells the controls. Not every server lets it be
	// read, which is found out below.
	root, err := s.lookup(ctx, "", "(objectClass=*)", "*", "+")
	if err != nil && !isCode(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) {
		return nil, s.readFailed("read the root entry", err)
	}
	subschema := ""
	if root != nil {
		v.name, v.release = s.store.shows(root.GetAttributeValue("vendorName")), s.store.shows(root.GetAttributeValue("vendorVersion"))
		if v.name == "" && slices.Contains(root.GetAttributeValues("objectClass"), "OpenLDAProotDSE") {
			v.name = openLDAP
		}
		v.controls = root.GetAttributeValues("supportedControl")
		subschema = root.GetAttributeValue("subschemaSubentry")
	}
	base, err := s.lookup(ctx, s.store.opts.Mapping.BaseDN, "(objectClass=*)",
		"entryUUID", "nsUniqueId", "entryCSN", "modifyTimestamp", "subschemaSubentry")
	switch {
	case isCode(err, ldap.LDAPResultNoSuchObject), err == nil && base == nil:
		return nil, fault.New(fault.Config, s.op("read the base"), endpoint.Sentence(
			"there is no entry "+s.store.opts.Mapping.BaseDN+", or the bind DN may not see it", err), "check the base DN and the rights of the bind DN")
	case err != nil:
		return nil, s.readFailed("read the base", err)
	}
	// What the schema knows tells nothing here: 389 Directory Server knows
	// entryUUID and has none.
	for _, name := range []string{"entryUUID", "nsUniqueId"} {
		if v.id == "" && base.GetEqualFoldAttributeValue(name) != "" {
			v.id = name
		}
	}
	for _, name := range []string{"entryCSN", "modifyTimestamp"} {
		if v.version == "" && base.GetEqualFoldAttributeValue(name) != "" {
			v.version = name
		}
	}
	if own := base.GetEqualFoldAttributeValue("subschemaSubentry"); own != "" {
		subschema = own
	}
	if v.schema, err = s.readSchema(ctx, subschema); err != nil {
		return nil, err
	}
	s.known = v
	return v, nil
}

// readSchema returns nil where the schema may not be read.
func (s *Session) readSchema(ctx context.Context, at string) (*schema, error) {
	if at == "" {
		return nil, nil
	}
	e, err := s.lookup(ctx, at, "(objectClass=subschema)", "attributeTypes", "objectClasses")
	if isCode(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) || err == nil && e == nil {
		return nil, nil
	}
	if err != nil {
		return nil, s.readFailed("read the schema", err)
	}
	types, classes := e.GetEqualFoldAttributeValues("attributeTypes"), e.GetEqualFoldAttributeValues("objectClasses")
	if len(types) == 0 || len(classes) == 0 {
		return nil, nil
	}
	return newSchema(types, classes), nil
}

// lookup reads one entry; nil where the filter does not hold for it. Its error
// is the library's own.
func (s *Session) lookup(ctx context.Context, name, filter string, attributes ...string) (*ldap.Entry, error) {
	request := &ldap.SearchRequest{BaseDN: name, Scope: ldap.ScopeBaseObject, Filter: filter, Attributes: attributes}
	var found *ldap.Entry
	_, references, err := s.find(ctx, request, 1, func(e *ldap.Entry) { found = withTexts(e) })
	switch {
	case err != nil:
		return nil, err
	case references > 0:
		return nil, &ldap.Error{ResultCode: ldap.LDAPResultReferral, Err: errors.New("the entry is on another server")}
	}
	return found, nil
}

// preflight refuses a mapping that the server does not know. A search for an
// attribute without a definition finds nothing, and says that it succeeded.
func (s *Session) preflight(ctx context.Context) (*server, error) {
	v, err := s.learn(ctx)
	if err != nil {
		return nil, err
	}
	if faults := s.store.unknown(v.schema); len(faults) > 0 {
		return nil, fault.New(fault.Config, s.op("check the schema"), errors.New(strings.Join(faults, "; ")),
			"load the schema of the mailboxes on the server, or correct the mapping")
	}
	if root := v.controls; root != nil && !v.has(controlPaged) {
		return nil, fault.New(fault.Config, s.op("check the controls"), errors.New("the server cannot hand over entries in pages (RFC 2696)"),
			"a large directory cannot be read completely without them")
	}
	return v, nil
}

// unknown lists what the mapping names and the schema does not.
func (s *Store) unknown(known *schema) []string {
	m := s.opts.Mapping
	var faults []string
	if _, ok := known.class(m.ObjectClass); !ok {
		faults = append(faults, "the schema has no object class "+m.ObjectClass)
	}
	missing := map[string]bool{}
	tell := func(name, why string) {
		if _, ok := known.attribute(name); !ok && !missing[strings.ToLower(name)] {
			missing[strings.ToLower(name)] = true
			faults = append(faults, "the schema has no attribute "+name+" ("+why+")")
		}
	}
	for _, c := range mapped(m) {
		tell(m.Names[c], "the mapping's "+string(c))
	}
	for _, name := range loginNames(m.Login) {
		tell(name, "for the log-in")
	}
	for _, name := range filterNames(m.Filter) {
		tell(name, "in the filter")
	}
	for _, name := range filterNames(s.shield) {
		tell(name, "in a protected filter")
	}
	return faults
}
