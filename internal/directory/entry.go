package directory

import "errors"

// ErrNoEntry is what errors.Is finds where an entry is not there (any more).
var ErrNoEntry = errors.New("there is no such entry")

// ErrBusy is the cause of a failed write where the server answered that it cannot
// carry it out now: it has not.
var ErrBusy = errors.New("the server is busy")

// Ref finds an entry again.
type Ref struct {
	// ID is the server's own for the entry, which outlives renaming: entryUUID
	// (RFC 4530) or nsUniqueId; "" where the server has none.
	ID string `json:"id,omitempty"`
	DN string `json:"dn"`
	// Version changes with every change of the entry: entryCSN or
	// modifyTimestamp; "" where the server tells none.
	Version string `json:"version,omitempty"`
}

// Entry is a mailbox's entry with its values. It may hold a password: it is
// never logged, and lives only while the entry is being made equal.
type Entry struct {
	Ref
	Number string
	// Login is the IMAP log-in that belongs to it by the store's mapping; "" where
	// that tells none.
	Login string
	// Protected is true where the mapping says that it must not be touched.
	Protected bool
	// Values are those of each mapped column that the entry has, in any order. A
	// column that is absent has no value; an empty value is a value.
	Values map[Column][][]byte
	// Tags are the values with further options, for instance sn;lang-de.
	Tags map[Column]Tags
}

// Record is an entry as it is kept for the compare: without what is secret or
// large.
type Record struct {
	Ref
	Number    string
	Login     string
	Protected bool
	// Texts are the values of Text columns, sorted byte by byte.
	Texts map[Column][]string
	// Digests are those of Binary and Secret columns: see Digester.
	Digests map[Column][]byte
	// Tags are digests of all values that a column has with further options, the
	// options included; none of a column that has no such value.
	Tags map[Column][]byte
	// Unread is true if the server has the entry, or entries of whom only the number
	// is known, and does not hand it over. Only Ref and Number are set, as far as they
	// are known. What is unknown is not gone: nothing is done to it on the other side.
	Unread bool
}

// Unread says of an entry that it cannot be read, why, and what the operator can do.
// Number is "" if it is not known.
type Unread struct {
	Number string `json:"number,omitempty"`
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

// Extracted is what a complete extract tells of itself.
type Extracted struct {
	Entries int `json:"entries"`
	// Having counts the entries that have a value in each mapped column: one
	// that nobody has any more was not emptied everywhere, but hidden.
	Having map[Column]int `json:"having"`
	// Rule is that by which log-ins were made (Mapping.LoginRule), and Logins counts
	// the entries that have one.
	Rule   string `json:"rule,omitempty"`
	Logins int    `json:"logins,omitempty"`
	// Unread are the entries that cannot be read. Entries counts them.
	Unread []Unread `json:"unread,omitempty"`
	// Partial is true if not even the names and numbers of all entries are known. That
	// an entry was not handed over proves nothing then.
	Partial bool `json:"partial,omitempty"`
}

// Operation is one write to the target's directory. Exactly one of the pointers
// is set.
type Operation struct {
	Add    *Add
	Modify *Modify
	Rename *Rename
	Delete *Delete
}

// Add creates an entry (RFC 4511, 4.7).
type Add struct {
	DN         string
	Attributes map[string][][]byte // by attribute name, objectClass included
}

// Modify replaces all values of attributes; no value removes the attribute
// (RFC 4511, 4.6: replace).
type Modify struct {
	Ref     // as it was read; a Version that is another by now is a Conflict
	Replace map[string][][]byte
}

// Rename gives an entry another RDN and drops the old one (RFC 4511, 4.9).
type Rename struct {
	Ref
	NewRDN string // escaped as RFC 4514 says
}

// Delete removes an entry (RFC 4511, 4.8).
type Delete struct{ Ref }
