package directory

import "slices"

// Scope is how deep below the base mailboxes are looked for (RFC 4511, 4.5.1.2).
type Scope string

// The scopes.
const (
	ScopeSubtree Scope = "sub"
	ScopeOne     Scope = "one"
)

// Mapping is how one store's directory holds mailboxes.
type Mapping struct {
	BaseDN string `json:"base_dn"`
	// ObjectClass is that by which entries of mailboxes are known; Filter, where
	// it is not empty, has to hold as well (RFC 4515).
	ObjectClass string `json:"object_class"`
	Filter      string `json:"filter,omitempty"`
	Scope       Scope  `json:"scope"`
	// Names gives the attribute of each column. A column that is not in it is
	// not mirrored.
	Names map[Column]string `json:"names"`
	// NewClasses are the object classes of an entry that is created; ObjectClass
	// alone where it is empty.
	NewClasses []string `json:"new_classes,omitempty"`
	// RDN is the attribute that names a new entry below BaseDN, one of Names.
	RDN string `json:"rdn"`
	// Needs are attributes with values that a new entry has besides.
	Needs map[string][]string `json:"needs,omitempty"`
	// Login says which IMAP log-in belongs to an entry: the value of an
	// attribute, "{mail}", or any text around some, "{MailboxNumber}@example.com".
	Login string `json:"login"`
	// Protected are numbers, and filters in parentheses, of entries that are
	// never changed or deleted.
	Protected []string `json:"protected,omitempty"`
}

// Mirrored lists what both mappings have, in the order of Attributes: it is what
// is mirrored between their stores.
func (m Mapping) Mirrored(of Mapping) []Attribute {
	return slices.DeleteFunc(Attributes(), func(a Attribute) bool { return m.Names[a.Column] == "" || of.Names[a.Column] == "" })
}

// DefaultMapping is that of the store whose attributes the columns are named
// after, without a base.
func DefaultMapping() Mapping {
	m := Mapping{ObjectClass: "umMailbox", Scope: ScopeSubtree, Names: map[Column]string{}}
	for _, a := range Attributes() {
		m.Names[a.Column] = a.Default
	}
	m.RDN = m.Names[MailboxNumber]
	m.Login = "{" + m.Names[MailboxNumber] + "}"
	return m
}
