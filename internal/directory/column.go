package directory

import "slices"

// Column names one mirrored property of a mailbox, whatever either directory
// calls its attribute.
type Column string

// The columns, in the order in which they are listed to operators.
const (
	MailboxNumber  Column = "mailbox_number"
	Password       Column = "password"
	FindMeEnabled  Column = "find_me_enabled"
	RecordedName   Column = "recorded_name"
	Community      Column = "community"
	ClassOfService Column = "class_of_service"
	ASCIIName      Column = "ascii_name"
	CommonName     Column = "cn"
	LastName       Column = "last_name"
	FirstName      Column = "first_name"
	Phone          Column = "phone"
	NumericAddress Column = "numeric_address"
	Misc1          Column = "misc1"
	Misc2          Column = "misc2"
	Misc3          Column = "misc3"
	Misc4          Column = "misc4"
)

// Nature says how values of a column are kept, compared and shown.
type Nature int

const (
	// Text is shown, and compared byte by byte as a set of values: only the
	// case of a letter is a difference, too.
	Text Nature = iota
	// Binary is compared by its SHA-256 and shown as a size.
	Binary
	// Secret is compared by a keyed digest, and never shown.
	Secret
)

// Attribute is one column with what holds for it on every store.
type Attribute struct {
	Column Column
	Nature Nature
	// Default is what the attribute is called where no mapping says otherwise.
	Default string
}

// Attributes lists all columns in their order. The caller may keep it.
func Attributes() []Attribute { return slices.Clone(attributes) }

// attributes is never written to.
var attributes = []Attribute{
	{MailboxNumber, Text, "MailboxNumber"},
	{Password, Secret, "Password"},
	{FindMeEnabled, Text, "avUmFindMeEnabled"},
	{RecordedName, Binary, "umRecordedName"},
	{Community, Text, "Community"},
	{ClassOfService, Text, "ClassNo"},
	{ASCIIName, Text, "asciiName"},
	{CommonName, Text, "cn"},
	{LastName, Text, "sn"},
	{FirstName, Text, "givenName"},
	{Phone, Text, "telephoneNumber"},
	{NumericAddress, Text, "NumericAddress"},
	{Misc1, Text, "Misc1"},
	{Misc2, Text, "Misc2"},
	{Misc3, Text, "Misc3"},
	{Misc4, Text, "Misc4"},
}
