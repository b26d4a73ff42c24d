package corpus

import "strings"

// FolderOddity is a folder name that is unusual. Names are canonical: UTF-8,
// levels joined by "/", "%2F" for "/" and "%25" for "%" inside a level.
type FolderOddity struct {
	Name    string // unique, says what is odd
	Folder  string // canonical
	Dovecot Expect // with separator "/"
	Cyrus   Expect // with unixhierarchysep and altnamespace
	Note    string
}

// notInCyrus is why Cyrus refuses a name: it allows only the characters of its
// setting goodchars.
const notInCyrus = "not among the characters that Cyrus allows in names"

// FolderOddities returns all odd folder names.
func FolderOddities() []FolderOddity {
	deep := strings.TrimSuffix(strings.Repeat("d/", 12), "/")
	return []FolderOddity{
		{Name: "umlauts", Folder: "Entwürfe/Größe"},
		{Name: "other scripts", Folder: "日本語/عربى/Ελληνικά"},
		{Name: "outside the basic plane", Folder: "smile 😀 end"},
		{Name: "ampersand", Folder: "R&D"},
		{Name: "ampersand and dash", Folder: "R&-D"},
		{Name: "ampersand at the end", Folder: "tail&"},
		{Name: "looks encoded", Folder: "&AOQ-"},
		{Name: "quotes", Folder: `say "hello"`, Cyrus: Refused, Note: notInCyrus},
		{Name: "backslash", Folder: `back\slash`, Cyrus: Refused, Note: notInCyrus},
		{Name: "brackets", Folder: "a(b)[c]{5}<d>", Cyrus: Refused, Note: notInCyrus},
		{Name: "ends like a literal", Folder: "literal {5}", Cyrus: Refused, Note: notInCyrus},
		{Name: "blank inside", Folder: "two  blanks"},
		{Name: "leading blank", Folder: " leading"},
		{Name: "trailing blank", Folder: "trailing "},
		{Name: "other separator inside", Folder: "v1.2.3"},
		{Name: "caret inside", Folder: "a^b", Cyrus: Refused, Note: "Cyrus writes ^ for a dot inside"},
		{Name: "wildcard star", Folder: "all*"},
		{Name: "wildcard percent", Folder: "100%25", Cyrus: Refused, Note: notInCyrus},
		{Name: "tilde in front", Folder: "~home", Dovecot: Refused, Note: "Dovecot keeps ~ for home directories"},
		{Name: "hash in front", Folder: "#1"},
		{Name: "dot in front", Folder: ".hidden"},
		{Name: "dash only", Folder: "-"},
		{Name: "apostrophe and dollar", Folder: "it's $5"},
		{Name: "NIL", Folder: "NIL"},
		{Name: "inbox in lower case below another", Folder: "Old/inbox"},
		{Name: "below the inbox", Folder: "INBOX/below"},
		{Name: "same but for case", Folder: "greetings-CASE"},
		{Name: "same but for case, other", Folder: "Greetings-case"},
		{Name: "twelve levels", Folder: deep},
		{Name: "200 characters", Folder: strings.Repeat("n", 200)},
		{Name: "60 characters of three bytes", Folder: strings.Repeat("語", 60)},
		{Name: "combining accent", Folder: "e\u0301tude"},
		{Name: "the same composed", Folder: "\u00e9tude"},
	}
}
