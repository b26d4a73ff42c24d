package copier

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// steady is a session that is opened again after its connection was lost, and
// that finds the message at which it is lost. Its reading methods return a
// *WithheldError for such messages, beside what was read of the others. It never
// has more than one connection.
type steady struct {
	store  Store
	number mailbox.Number
	clock  lease.Clock // nil if no pause is needed
	// opened is called with every new session before it is used; nil is nobody.
	opened func(Session)
	// fence is how long a write may land after its connection was lost.
	fence time.Duration
	// left is how many times more the session may be opened again, silences how
	// many times more a read without an answer counts as a lost connection.
	left, silences int

	Session // nil before the first open
	dead    bool
	// name is the open folder, "" for none, validity its UIDVALIDITY.
	name     mailbox.FolderName
	validity uint32
	readOnly bool
	// account identifies the account that was opened first, if known: "" if it is not
	// or if the store tells none. other is why the session is not opened any more:
	// another account was reached.
	account string
	other   error
}

// readAgain is the part of a steady session that a source is used with.
type readAgain interface {
	Reader
	Stream(ctx context.Context, uids mailbox.UIDSet, each func(uid mailbox.UID, size int64, body io.Reader) error) error
	open(ctx context.Context) error
	revive(ctx context.Context, after time.Duration) error
}

// defaultReconnects is how often one session is opened again.
const defaultReconnects = 100

// defaultSilences is how many reads without an answer one session bears. Each took
// the whole time that Mailmirror waits: two messages at three attempts each.
const defaultSilences = 6

// reopenPause is between the loss of a connection and the next one: a server that
// ends many connections shall not be asked for many more at once.
const reopenPause = 50 * time.Millisecond

func newSteady(e *Engine, store Store, number mailbox.Number, opened func(Session)) *steady {
	return &steady{store: store, number: number, clock: e.clock, opened: opened, fence: e.opts.Lease.Fence, left: e.opts.Reconnects,
		silences: defaultSilences}
}

// open logs in where that is not done yet.
func (s *steady) open(ctx context.Context) error {
	if s.Session != nil {
		return nil
	}
	session, err := s.store.Open(ctx, s.number)
	if err != nil {
		return err
	}
	if s.opened != nil {
		s.opened(session)
	}
	s.Session, s.dead = session, false
	return nil
}

// Close ends the session where there is one.
func (s *steady) Close() error {
	if s.Session == nil {
		return nil
	}
	err := s.Session.Close()
	s.Session, s.name = nil, ""
	return err
}

var errReconnects = fault.New(fault.Transient, "the connection is lost too often", nil,
	"see the server's log: it closes connections at many messages or folders of this mailbox")

// again replaces a session that was lost, with the same folder open, after at least
// the given time.
func (s *steady) again(ctx context.Context, after time.Duration) error {
	if s.other != nil {
		return s.other
	}
	if s.left == 0 {
		return errReconnects
	}
	s.left--
	name, before := s.name, s.validity
	_ = s.Close()
	if s.clock != nil {
		if err := s.clock.Sleep(ctx, max(after, reopenPause)); err != nil {
			return err
		}
	}
	if err := s.open(ctx); err != nil {
		if fault.Is(err, fault.Permanent) || fault.Rejected(err) {
			// That would be a folder's trouble, and there is no session for the others.
			err = fault.New(fault.Transient, "log in again after the connection was lost", err, fault.HintOf(err))
		}
		return err
	}
	if err := s.same(ctx); err != nil || name == "" {
		return err
	}
	var now mailbox.Counters
	var err error
	if s.readOnly {
		now, err = s.Examine(ctx, name)
	} else {
		now, _, err = s.Select(ctx, name)
	}
	if err == nil && now.UIDValidity != before {
		return fault.Newf(fault.Conflict, "the folder was re-created in mid-sync")
	}
	return err
}

// same checks that a session that was opened again reached the same account: an address
// may lead to another server meanwhile. It asks only a store that told the account.
func (s *steady) same(ctx context.Context) error {
	if s.account == "" {
		return nil
	}
	before := s.account
	now, err := s.Account(ctx)
	s.account = before
	if err != nil || now == before {
		return err
	}
	_ = s.Close() // nothing is written to it
	s.dead = true
	s.other = fault.New(fault.Conflict, "connect again", errors.New("the address leads to another account than before, or to another server"),
		"the next sync checks again who may write to whom; if it fails, check where the store's address leads")
	return s.other
}

// revive replaces a session that cannot be used any more, with no folder open.
func (s *steady) revive(ctx context.Context, after time.Duration) error {
	if !s.dead {
		return nil
	}
	s.name = ""
	return s.again(ctx, after)
}

// heard makes the loss of a connection of a read that the server did not answer, a
// few times: the message that is read may be the reason.
func (s *steady) heard(err error) error {
	if !fault.Silent(err) || s.silences == 0 {
		return err
	}
	s.silences--
	return &fault.Error{Kind: fault.Transient, Err: err, Hint: fault.HintOf(err), Lost: true}
}

// spent notes that the session cannot be used any more.
func (s *steady) spent(err error) error {
	if err != nil && !staysInFolder(err) {
		s.dead = true
	}
	return err
}

// Examine opens a folder for reading.
func (s *steady) Examine(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, error) {
	s.name = ""
	now, err := s.Session.Examine(ctx, name)
	if err == nil {
		s.keepValidity(name, now, true)
	}
	return now, s.spent(err)
}

// Select opens a folder for writing.
func (s *steady) Select(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, mailbox.Permanent, error) {
	s.name = ""
	now, permanent, err := s.Session.Select(ctx, name)
	if err == nil {
		s.keepValidity(name, now, false)
	}
	return now, permanent, s.spent(err)
}

func (s *steady) keepValidity(name mailbox.FolderName, now mailbox.Counters, readOnly bool) {
	s.name, s.validity, s.readOnly = name, now.UIDValidity, readOnly
}

// Account identifies the account; "" if the store does not tell.
func (s *steady) Account(ctx context.Context) (string, error) {
	i, ok := s.Session.(Identified)
	if !ok {
		return "", nil
	}
	account, err := i.Account(ctx)
	if err == nil {
		s.account = account
	}
	return account, s.spent(err)
}

// List lists the folders.
func (s *steady) List(ctx context.Context) ([]mailbox.Folder, error) {
	list, err := s.Session.List(ctx)
	return list, s.spent(err)
}

// UIDs lists the messages of the open folder.
func (s *steady) UIDs(ctx context.Context) (mailbox.UIDSet, error) {
	uids, err := s.Session.UIDs(ctx)
	return uids, s.spent(err)
}

// Messages reads metadata of every message that can be read.
func (s *steady) Messages(ctx context.Context, uids mailbox.UIDSet, changedSince uint64) ([]mailbox.Message, error) {
	byUID := map[mailbox.UID]mailbox.Message{}
	err := s.isolate(ctx, uids, 0, func(part mailbox.UIDSet) (got mailbox.UIDSet, err error) {
		messages, err := s.Session.Messages(ctx, part, changedSince)
		for _, m := range messages {
			byUID[m.UID] = m
			got.Add(m.UID)
		}
		return got, s.heard(err)
	})
	out := make([]mailbox.Message, 0, len(byUID))
	for _, uid := range slices.Sorted(maps.Keys(byUID)) {
		out = append(out, byUID[uid])
	}
	return out, err
}

// Headers digests the header of every message that can be read.
func (s *steady) Headers(ctx context.Context, uids mailbox.UIDSet) (map[mailbox.UID]Header, error) {
	out := map[mailbox.UID]Header{}
	err := s.isolate(ctx, uids, 0, func(part mailbox.UIDSet) (got mailbox.UIDSet, err error) {
		headers, err := s.Session.Headers(ctx, part)
		for uid, h := range headers {
			out[uid] = h
			got.Add(uid)
		}
		return got, s.heard(err)
	})
	return out, err
}

// Bodies streams every message that can be read. After a connection was lost in
// the middle of a message, each is called for that message once more.
func (s *steady) Bodies(ctx context.Context, uids mailbox.UIDSet, each func(uid mailbox.UID, size int64, body io.Reader) error) error {
	return s.isolate(ctx, uids, 0, func(part mailbox.UIDSet) (got mailbox.UIDSet, err error) {
		err = s.Session.Bodies(ctx, part, func(uid mailbox.UID, size int64, body io.Reader) error {
			err := each(uid, size, body)
			if err == nil {
				got.Add(uid)
			}
			return err
		})
		return got, s.heard(err)
	})
}

// Stream is Bodies for a caller that cannot be called twice for one message: a
// loss ends it.
func (s *steady) Stream(ctx context.Context, uids mailbox.UIDSet, each func(uid mailbox.UID, size int64, body io.Reader) error) error {
	return s.spent(s.heard(s.Session.Bodies(ctx, uids, each)))
}

// Unselect closes the open folder.
func (s *steady) Unselect(ctx context.Context) error {
	s.name = ""
	return s.spent(s.Session.Unselect(ctx))
}

// Append stores one message.
func (s *steady) Append(ctx context.Context, m Incoming, result func(AppendResult)) error {
	return s.spent(s.Session.Append(ctx, m, result))
}

// Flush waits for the answers of all Appends.
func (s *steady) Flush(ctx context.Context) error { return s.spent(s.Session.Flush(ctx)) }

// SetFlags replaces the flags of every message that the store lets change.
func (s *steady) SetFlags(ctx context.Context, uids mailbox.UIDSet, flags mailbox.Flags) error {
	return s.change(ctx, uids, func(part mailbox.UIDSet) error { return s.Session.SetFlags(ctx, part, flags) })
}

// Expunge removes every message that the store lets remove.
func (s *steady) Expunge(ctx context.Context, uids mailbox.UIDSet) error {
	return s.change(ctx, uids, func(part mailbox.UIDSet) error { return s.Session.Expunge(ctx, part) })
}

// Move moves every message that the store lets move.
func (s *steady) Move(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error {
	return s.change(ctx, uids, func(part mailbox.UIDSet) error { return s.Session.Move(ctx, part, to) })
}

// change isolates the messages at which a write loses the connection. The write may
// be repeated: what was done already is done.
func (s *steady) change(ctx context.Context, uids mailbox.UIDSet, do func(mailbox.UIDSet) error) error {
	return s.isolate(ctx, uids, s.fence, func(part mailbox.UIDSet) (mailbox.UIDSet, error) { return nil, do(part) })
}

// Copy copies messages to another folder. It is not repeated.
func (s *steady) Copy(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error {
	return s.spent(s.Session.Copy(ctx, uids, to))
}

// CreateFolder creates a folder.
func (s *steady) CreateFolder(ctx context.Context, name mailbox.FolderName, use []string) error {
	return s.spent(s.Session.CreateFolder(ctx, name, use))
}

// DeleteFolder deletes a folder.
func (s *steady) DeleteFolder(ctx context.Context, name mailbox.FolderName) error {
	return s.spent(s.Session.DeleteFolder(ctx, name))
}

// RenameFolder renames a folder.
func (s *steady) RenameFolder(ctx context.Context, from, to mailbox.FolderName) error {
	s.name = ""
	return s.spent(s.Session.RenameFolder(ctx, from, to))
}

// Subscribe sets or clears subscriptions.
func (s *steady) Subscribe(ctx context.Context, subscribed bool, names ...mailbox.FolderName) ([]mailbox.FolderName, error) {
	refused, err := s.Session.Subscribe(ctx, subscribed, names...)
	return refused, s.spent(err)
}

// Subscribed lists the subscriptions.
func (s *steady) Subscribed(ctx context.Context) (map[mailbox.FolderName]bool, error) {
	list, err := s.Session.Subscribed(ctx)
	return list, s.spent(err)
}
