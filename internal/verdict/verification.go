// Package verdict says what Mailmirror found when it looked at the stores: the result
// of a verification of two stores, and the report on one store. A worker finds it, the
// database keeps it, and commands show it. It holds counts and names of folders, never
// content.
package verdict

import (
	"errors"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Counts counts messages.
type Counts struct {
	// Compared is how many the source holds.
	Compared int `json:"compared"`
	// Missing are on the source only, Extra on the target only.
	Missing int `json:"missing"`
	Extra   int `json:"extra"`
	// Flags, Dates and Content are on both sides and differ in it.
	Flags   int `json:"flags"`
	Dates   int `json:"dates"`
	Content int `json:"content"`
	// Unreadable are those, of both sides, that a store has and does not hand over.
	// Nothing is known of them.
	Unreadable int `json:"unreadable,omitempty"`
}

// Differing is the number of messages that are not proven to be the same on both
// sides. One that differs in several ways is counted for each.
func (c Counts) Differing() int {
	return c.Missing + c.Extra + c.Flags + c.Dates + c.Content + c.Unreadable
}

// Add returns the sum.
func (c Counts) Add(o Counts) Counts {
	return Counts{
		c.Compared + o.Compared, c.Missing + o.Missing, c.Extra + o.Extra,
		c.Flags + o.Flags, c.Dates + o.Dates, c.Content + o.Content, c.Unreadable + o.Unreadable,
	}
}

// Folder is what was found in one folder.
type Folder struct {
	Folder mailbox.FolderName `json:"folder"`
	Role   mailbox.Role       `json:"role"`
	// Trouble is a difference of the folder itself: "missing", "extra", or
	// "subscription"; "" where there is none.
	Trouble string `json:"trouble,omitempty"`
	Counts
}

// Equal reports whether both sides of the folder are the same.
func (f Folder) Equal() bool { return f.Trouble == "" && f.Differing() == 0 }

// Mailbox is what was found in one mailbox.
type Mailbox struct {
	Number mailbox.Number `json:"number"`
	// Folders are the folders of either side, by name: all of them, or MaxFolders of
	// them, those that differ first. Omitted counts the others.
	Folders []Folder `json:"folders"`
	Omitted int      `json:"folders_omitted,omitempty"`
	// Bytes is what was read of bodies.
	Bytes int64 `json:"bytes"`
	Failure
	// Messages and Greetings sum all folders, by role.
	Messages  Counts `json:"-"`
	Greetings Counts `json:"-"`
	// Differs is true if a folder differs, also one that is omitted.
	Differs bool `json:"-"`
}

// Failure says why something could not be looked at to the end; what was found is no
// proof then. Error is "" if all was looked at.
type Failure struct {
	ErrorKind string `json:"error_kind,omitempty"`
	Error     string `json:"error,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// Err returns the failure as a fault, nil if there is none.
func (f Failure) Err() error {
	if f.Error == "" {
		return nil
	}
	return fault.New(fault.Kind(f.ErrorKind), "", errors.New(f.Error), f.Hint)
}

// MaxFolders is how many folders of one mailbox are listed.
const MaxFolders = 500

// OfMailbox sums up the folders of a mailbox.
func OfMailbox(number mailbox.Number, folders []Folder, bytes int64, failure Failure) Mailbox {
	m := Mailbox{Number: number, Bytes: bytes, Failure: failure}
	var equal []Folder
	for _, f := range folders {
		if f.Role == mailbox.RoleGreetings {
			m.Greetings = m.Greetings.Add(f.Counts)
		} else {
			m.Messages = m.Messages.Add(f.Counts)
		}
		if !f.Equal() {
			m.Differs = true
			m.Folders = append(m.Folders, f)
		} else {
			equal = append(equal, f)
		}
	}
	if len(folders) <= MaxFolders {
		m.Folders = folders
		return m
	}
	m.Folders = append(m.Folders, equal...)[:MaxFolders]
	m.Omitted = len(folders) - MaxFolders
	return m
}

// Equal reports whether the mailbox was read to the end and is the same on both
// sides.
func (m Mailbox) Equal() bool { return m.Error == "" && !m.Differs }

// Verification sums up what was found in all mailboxes.
type Verification struct {
	Link      string `json:"link"`
	Deep      bool   `json:"deep"`
	Mailboxes int    `json:"mailboxes"`
	Equal     int    `json:"equal"`
	Differing int    `json:"differing"`
	Failed    int    `json:"failed"`
	Bytes     int64  `json:"bytes"`
	Messages  Counts `json:"messages"`
	Greetings Counts `json:"greetings"`
	// Results are those of the mailboxes that are not equal, by number.
	Results []Mailbox `json:"results"`
}

// Add adds what was found in one mailbox.
func (v *Verification) Add(m Mailbox) {
	v.Mailboxes++
	v.Bytes += m.Bytes
	v.Messages, v.Greetings = v.Messages.Add(m.Messages), v.Greetings.Add(m.Greetings)
	switch {
	case m.Error != "":
		v.Failed++
	case m.Equal():
		v.Equal++
		return
	default:
		v.Differing++
	}
	v.Results = append(v.Results, m)
}

// VerifyRun is the record of a verification, running or ended.
type VerifyRun struct {
	RunID string
	// Planned is how many mailboxes it is about.
	Planned               int
	StartedAt, FinishedAt time.Time
	Verification
	// Failure says why it broke off; it is empty if every mailbox was looked at.
	Failure
}

// VerifyRequest says what is to be compared.
type VerifyRequest struct {
	Link string `json:"link"`
	// Deep reads and compares every body.
	Deep bool `json:"deep,omitempty"`
	// Numbers are the mailboxes; none means all of the link.
	Numbers []mailbox.Number `json:"numbers,omitempty"`
}

// Start is the answer to a request for a check or a verification.
type Start struct {
	RunID string
	// Started is false if one was running already. It serves if Same is true: it was
	// started for the same request.
	Started, Same bool
}
