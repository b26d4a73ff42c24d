package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// GuardRepository is what the deletion guard needs of the database.
type GuardRepository interface {
	// GuardSettings returns a link's settings; the defaults where nobody set any.
	GuardSettings(ctx context.Context, link string) (GuardSettings, error)
	SetGuardSettings(ctx context.Context, link string, s GuardSettings) error
	// Holds lists what the guard keeps, by link, mailbox and folder; "" means
	// every link.
	Holds(ctx context.Context, link string) ([]Hold, error)
	// DecideHolds records a decision on holds, all of them or none, and makes
	// work due on their mailboxes. A hold that is no more, or of which more
	// became due since it had this id, is a Conflict.
	DecideHolds(ctx context.Context, ids []int64, decision HoldState, who string) ([]Hold, error)
	// GuardFigures returns what the rules over the whole link count now.
	GuardFigures(ctx context.Context, link string) (GuardFigures, error)
	// GuardDecisions lists what was decided, newest first.
	GuardDecisions(ctx context.Context, link string, limit int) ([]GuardDecision, error)
}

// GuardSettings are what a link's deletions are held against, and what becomes
// of what is deleted.
type GuardSettings struct {
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

// DefaultGuard are the settings of a link for which nobody set any.
func DefaultGuard() GuardSettings { return GuardSettings{Limits: mirror.DefaultLimits()} }

// DefaultDeletedFolder is where deleted messages are kept unless the operator
// names another folder.
const DefaultDeletedFolder mailbox.FolderName = "Mailmirror Deleted"

// HoldState is what was decided on a hold.
type HoldState string

// The states of a hold.
const (
	HoldWaiting  HoldState = "waiting"
	HoldApproved HoldState = "approved" // and not carried out yet
	HoldRefused  HoldState = "refused"  // the messages stay on the target
)

// Hold is what the guard keeps from being deleted from one folder. It holds
// counts and no content.
type Hold struct {
	// ID is that of what is shown here: once more waits it is another one.
	ID     int64              `json:"id"`
	State  HoldState          `json:"state"`
	Link   string             `json:"link"`
	Number mailbox.Number     `json:"number"`
	Folder mailbox.FolderName `json:"folder"`
	// Messages of Target on the target would be deleted; Source are on the source.
	Messages int `json:"messages"`
	Target   int `json:"target_messages"`
	Source   int `json:"source_messages"`
	// TargetOnly of Messages are on the target alone, and the mirror did not put
	// them there.
	TargetOnly int `json:"target_only"`
	// Vanished is true where the folder itself would be deleted.
	Vanished bool            `json:"folder_vanished"`
	Reasons  []mirror.Reason `json:"reasons"`
	Since    time.Time       `json:"since"`
	// AskedAt is since when so much waits.
	AskedAt   time.Time `json:"asked_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DecidedBy string    `json:"decided_by,omitempty"`
	DecidedAt time.Time `json:"decided_at,omitzero"`
}

// GuardDecision is one line of the guard's log.
type GuardDecision struct {
	At       time.Time          `json:"at"`
	Who      string             `json:"who"`
	Decision HoldState          `json:"decision"`
	Link     string             `json:"link"`
	Number   mailbox.Number     `json:"number"`
	Folder   mailbox.FolderName `json:"folder"`
	HoldID   int64              `json:"hold_id"`
	Messages int                `json:"messages"`
}

// GuardFigures are what happened in a link within the window of its limits.
type GuardFigures struct {
	// Deleted counts messages that were let go or held, Emptied mailboxes whose
	// inbox was emptied or is held from it.
	Deleted int `json:"deleted"`
	Emptied int `json:"emptied"`
	// Messages and Mailboxes are what the link holds.
	Messages  int `json:"messages"`
	Mailboxes int `json:"mailboxes"`
}

// GuardView is all there is to tell of a link's guard.
type GuardView struct {
	Link      string          `json:"link"`
	Settings  GuardSettings   `json:"settings"`
	Figures   GuardFigures    `json:"figures"`
	Holds     []Hold          `json:"holds"`
	Decisions []GuardDecision `json:"decisions"`
	// Directory are the settings of the link's directory, and DirectoryHolds what
	// waits of it; nil where the link has none.
	Directory      *DirectorySettings `json:"directory,omitempty"`
	DirectoryHolds []DirectoryHold    `json:"directory_holds,omitempty"`
}

// triggerApproval is what history names as the cause of a sync that follows a
// decision on a hold.
const triggerApproval = "approval"

// signalAtMost bounds the syncs that a decision starts itself; the sweep starts
// the others within its interval.
const signalAtMost = 50

// Holds lists what the guard keeps; "" means every link.
func (c *Control) Holds(ctx context.Context, link string) ([]Hold, error) {
	if link != "" {
		if _, err := c.repo.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	return c.repo.Holds(ctx, link)
}

// Hold returns one hold by its id, with the settings of its link.
func (c *Control) Hold(ctx context.Context, id int64) (Hold, GuardSettings, error) {
	holds, err := c.repo.Holds(ctx, "")
	if err != nil {
		return Hold{}, GuardSettings{}, err
	}
	i := slices.IndexFunc(holds, func(h Hold) bool { return h.ID == id })
	if i < 0 {
		return Hold{}, GuardSettings{}, NoHold(id)
	}
	settings, err := c.repo.GuardSettings(ctx, holds[i].Link)
	return holds[i], settings, err
}

// NoHold is the Conflict for an id that no hold has (any more).
func NoHold(id int64) error {
	return fault.New(fault.Conflict, fmt.Sprintf("there is no hold %d (any more)", id), nil,
		"what is due may have changed since it was shown; mailmirror guard list shows what waits now")
}

// Guard returns all there is to tell of a link's guard.
func (c *Control) Guard(ctx context.Context, link string) (GuardView, error) {
	v := GuardView{Link: link}
	var err error
	if _, err = c.repo.Link(ctx, link); err != nil {
		return v, err
	}
	if v.Settings, err = c.repo.GuardSettings(ctx, link); err != nil {
		return v, err
	}
	if v.Figures, err = c.repo.GuardFigures(ctx, link); err != nil {
		return v, err
	}
	if v.Holds, err = c.repo.Holds(ctx, link); err != nil {
		return v, err
	}
	if v.Decisions, err = c.repo.GuardDecisions(ctx, link, 20); err != nil {
		return v, err
	}
	return v, c.guardOfDirectory(ctx, &v)
}

// DecideHolds approves or refuses holds, all of them or none, and starts the
// syncs of their mailboxes.
func (c *Control) DecideHolds(ctx context.Context, ids []int64, decision HoldState, who string) ([]Hold, error) {
	if len(ids) == 0 {
		return nil, malformed("decide on holds", []error{errors.New("no hold is named")})
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	decided, err := c.repo.DecideHolds(ctx, ids, decision, who)
	if err != nil {
		return nil, err
	}
	// The work is due by now, whatever becomes of the signals.
	started := map[mailbox.Key]bool{}
	for _, h := range decided {
		key := mailbox.Key{Link: h.Link, Number: h.Number}
		if started[key] || len(started) >= signalAtMost {
			continue
		}
		started[key] = true
		if err := c.runner.Sync(ctx, key, triggerApproval); err != nil {
			return decided, fault.New(fault.KindOf(err), "decided; start sync of mailbox "+string(h.Number), err,
				"the decision is recorded, and the sweep starts the sync")
		}
	}
	return decided, nil
}

// ApproveWaiting approves all that waits in a link at this moment.
func (c *Control) ApproveWaiting(ctx context.Context, link, who string) ([]Hold, error) {
	holds, err := c.Holds(ctx, link)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, h := range holds {
		if h.State == HoldWaiting {
			ids = append(ids, h.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return c.DecideHolds(ctx, ids, HoldApproved, who)
}

// EditGuard changes a link's settings. change gets those in force.
func (c *Control) EditGuard(ctx context.Context, link, who string, change func(*GuardSettings)) (GuardSettings, error) {
	op := "set guard of link " + link
	if _, err := c.repo.Link(ctx, link); err != nil {
		return GuardSettings{}, err
	}
	s, err := c.repo.GuardSettings(ctx, link)
	if err != nil {
		return s, err
	}
	change(&s)
	if s.KeepDeleted > 0 {
		s.DeletedFolder = cmp.Or(s.DeletedFolder, DefaultDeletedFolder)
	}
	if err := malformed(op, s.faults()); err != nil {
		return s, err
	}
	s.SetBy = who
	if err := c.repo.SetGuardSettings(ctx, link, s); err != nil {
		return s, err
	}
	return c.repo.GuardSettings(ctx, link)
}

// faults lists what cannot be right about settings.
func (s GuardSettings) faults() []error {
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
