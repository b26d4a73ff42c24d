package guard

import (
	"fmt"
	"strings"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// Settings are what a link's deletions are held against, and what becomes
// of what is deleted.
type Settings struct {
	mirror.Limits
	// KeepDeleted is how long deleted messages stay on the target in
	// DeletedFolder; 0 deletes them at once.
	KeepDeleted time.Duration `json:"keep_deleted_ns"`
	// DeletedFolder is never mirrored, also where KeepDeleted is 0 again; ""
	// where nothing was ever kept.
	DeletedFolder mailbox.FolderName `json:"deleted_folder,omitempty"`
	// SetBy and SetAt are zero while the defaults hold.
	SetBy string    `json:"set_by,omitempty"`
	SetAt time.Time `json:"set_at,omitzero"`
}

// DefaultSettings are the settings of a link for which nobody set any.
func DefaultSettings() Settings { return Settings{Limits: mirror.DefaultLimits()} }

// DefaultDeletedFolder is where deleted messages are kept unless the operator
// names another folder.
const DefaultDeletedFolder mailbox.FolderName = "Mailmirror Deleted"

// Decision is one line of the guard's log.
type Decision struct {
	At       time.Time          `json:"at"`
	Who      string             `json:"who"`
	Decision HoldState          `json:"decision"`
	Link     string             `json:"link"`
	Number   mailbox.Number     `json:"number"`
	Folder   mailbox.FolderName `json:"folder"`
	HoldID   int64              `json:"hold_id"`
	Messages int                `json:"messages"`
}

// Counts are what happened in a link within the window of its limits.
type Counts struct {
	// Deleted counts messages that were let go or held, Emptied mailboxes whose
	// inbox was emptied or is held from it.
	Deleted int `json:"deleted"`
	Emptied int `json:"emptied"`
	// Messages and Mailboxes are what the link holds.
	Messages  int `json:"messages"`
	Mailboxes int `json:"mailboxes"`
}

// Faults lists what cannot be right about settings.
func (s Settings) Faults() []error {
	var faults []error
	for _, share := range []struct {
		name  string
		value int
	}{{"folder share", s.FolderShare}, {"link share", s.LinkShare}, {"inbox share", s.InboxShare}} {
		if share.value < 0 || share.value > 100 {
			faults = append(faults, fmt.Errorf("%s %d: want 0 to 100 percent", share.name, share.value))
		}
	}
	for _, count := range []struct {
		name  string
		value int
	}{{"folder minimum", s.FolderMinimum}, {"folder count", s.FolderCount}, {"gone", s.Gone},
		{"link minimum", s.LinkMinimum}, {"inbox minimum", s.InboxMinimum}} {
		if count.value < 0 {
			faults = append(faults, fmt.Errorf("%s %d: want 0 or more", count.name, count.value))
		}
	}
	if s.Window < time.Minute || s.Window > 30*24*time.Hour {
		faults = append(faults, fmt.Errorf("window %s: want a minute to 30 days", s.Window))
	}
	if s.KeepDeleted < 0 || (s.KeepDeleted > 0 && s.KeepDeleted < time.Hour) {
		faults = append(faults, fmt.Errorf("keep deleted %s: want an hour or more, or 0 to delete at once", s.KeepDeleted))
	}
	if f := s.DeletedFolder; f != "" {
		if strings.ContainsAny(string(f), `*?[\.%`) || strings.HasPrefix(string(f), "/") || strings.HasSuffix(string(f), "/") ||
			strings.EqualFold(string(f), string(mailbox.Inbox)) || mailbox.Patterns([]string{string(f)}).Validate() != nil {
			faults = append(faults, fmt.Errorf("deleted folder %q: want a folder name without *?[\\.%% that is not the inbox", string(f)))
		}
	}
	return faults
}
