package copier

import (
	"context"
	"io"
	"time"

	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// Store opens sessions on one message store. Implementations are safe for
// concurrent use.
type Store interface {
	// Open logs in as the trusted server, acting for the given mailbox.
	// A mailbox that the store does not have is a Permanent error, refused
	// credentials are a Config error, no connection a Transient one.
	Open(ctx context.Context, number mailbox.Number) (Session, error)
}

// Overviewer is a Store whose trusted server sees many mailboxes in one
// namespace, so that one command reviews hundreds of them.
type Overviewer interface {
	// OffersOverview reports whether the store shows such a namespace now.
	OffersOverview(ctx context.Context) (bool, error)
	// Overview lists the folders, with counters, of the given mailboxes. A
	// mailbox that the namespace does not show is absent from the answer,
	// which then proves nothing about it. errors.ErrUnsupported is returned by
	// a store that offers no such namespace, or one of so many mailboxes that
	// those asked for are sooner asked by themselves.
	Overview(ctx context.Context, numbers []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, error)
}

// Reader is the part of a Session that a source may be used with: nothing in
// it writes, and no message becomes `\Seen`. A session serves one goroutine at
// a time. Every method is complete or fails: a part of an answer is never
// returned without an error. After any error but a Permanent one the session
// is not used again. Messages and Headers return what came with a *WithheldError
// and with the loss of the connection (fault.Lost), so that the caller finds the
// message at which the connection is lost.
type Reader interface {
	// List returns every folder of the mailbox with its counters, in one
	// LIST-STATUS where the store has it. The counters of a folder that is
	// selected may be stale (Dovecot), so List is called with none selected.
	List(ctx context.Context) ([]mailbox.Folder, error)

	// Examine opens a folder for reading (EXAMINE, RFC 9051, section 6.3.3)
	// and returns its counters as they were when it was opened.
	Examine(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, error)

	// UIDs returns every UID of the open folder.
	UIDs(ctx context.Context) (mailbox.UIDSet, error)

	// Messages returns, by ascending UID, what the store tells of the given
	// messages of the open folder; those that are gone are absent. With
	// changedSince above 0 only those are returned that changed after that
	// mod-sequence (RFC 7162, section 3.1.4.1).
	Messages(ctx context.Context, uids mailbox.UIDSet, changedSince uint64) ([]mailbox.Message, error)

	// Headers returns a digest of each message's header section.
	Headers(ctx context.Context, uids mailbox.UIDSet) (map[mailbox.UID]Header, error)

	// Bodies streams whole messages in ascending order of UID (BODY.PEEK[]).
	// each gets a reader of exactly size bytes, valid until it returns; a
	// connection that breaks shows as an error of Read that is not io.EOF.
	// Messages that are gone are skipped. An error of each ends the call and
	// is returned as it is. Messages that the store has and will not hand over
	// are a *WithheldError, returned after all the others were streamed.
	Bodies(ctx context.Context, uids mailbox.UIDSet, each func(uid mailbox.UID, size int64, body io.Reader) error) error

	// Close logs out; it never blocks on a connection that is stuck.
	Close() error
}

// Identified is a Reader that can tell which account it opened.
type Identified interface {
	// Account returns an id that no other account of any server has, unless its disk
	// was copied; "" where the server tells none. No folder is open then.
	Account(ctx context.Context) (string, error)
}

// WithheldError says that a store has messages that it will not hand over:
// they are damaged there. It leaves the session usable.
type WithheldError struct {
	UIDs mailbox.UIDSet
	Err  error // classified Permanent
}

func (e *WithheldError) Error() string { return e.Err.Error() }

// With adds the messages of another such error, which may be nil.
func (e *WithheldError) With(other *WithheldError) *WithheldError {
	if other == nil {
		return e
	}
	return &WithheldError{UIDs: e.UIDs.Union(other.UIDs), Err: other.Err}
}

// OrNil returns the error, or nil if there is none.
func (e *WithheldError) OrNil() error {
	if e == nil {
		return nil
	}
	return e
}

func (e *WithheldError) Unwrap() error { return e.Err }

// Session is a Reader that may also write: what a target is used with. It is one
// connection.
type Session interface {
	Reader
	Writer
	Folders
}

// Writer changes the messages of one folder after another.
type Writer interface {
	// Select opens a folder for writing and tells what flags it keeps.
	Select(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, mailbox.Permanent, error)

	// Unselect closes the open folder, expunging nothing.
	Unselect(ctx context.Context) error

	// Append hands one message to the store and returns once its last byte is
	// written. Its answer comes by result, called in the order of the Appends,
	// from within a later Append or Flush. An adapter keeps a bounded number
	// of bytes and messages without an answer. It may have several messages
	// stored by one command, unless they are to be Alone.
	//
	// An error means that the session is lost and that the outcome of every
	// Append without an answer is unknown. A NO of the server is no such
	// error: it comes as AppendResult.Err, and the session goes on.
	Append(ctx context.Context, m Incoming, result func(AppendResult)) error

	// Flush waits for the answers of all Appends.
	Flush(ctx context.Context) error

	// SetFlags replaces the flags of messages of the open folder.
	SetFlags(ctx context.Context, uids mailbox.UIDSet, flags mailbox.Flags) error

	// Expunge removes exactly the given messages of the open folder, and no
	// other that carries `\Deleted`, with UIDPLUS or without.
	Expunge(ctx context.Context, uids mailbox.UIDSet) error

	// CanMove reports whether the store has MOVE (RFC 6851).
	CanMove() bool
	// Move moves messages of the open folder to another one; those that are
	// gone are passed over. Each is in one of the two at every moment.
	Move(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error
	// Copy copies messages of the open folder to another one, all or none, by
	// one command: the set must be short enough for that.
	Copy(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error

	// Connection's deadline is the end of the write lease. A write that is tried or
	// still under way at that instant closes the connection first. It is set from
	// another goroutine than the session's own.
	lease.Connection
}

// Folders changes the tree of folders.
type Folders interface {
	// CreateFolder creates a folder; one that exists already is no error. A
	// store that cannot give it the special use (RFC 6154) creates it without.
	CreateFolder(ctx context.Context, name mailbox.FolderName, specialUse []string) error
	// DeleteFolder deletes a folder; one that is gone already is no error.
	DeleteFolder(ctx context.Context, name mailbox.FolderName) error
	// RenameFolder renames a folder and all below it.
	RenameFolder(ctx context.Context, from, to mailbox.FolderName) error
	// Subscribe sets or clears the subscriptions of folders. It returns the folders
	// for which the store refused that, which is no error.
	Subscribe(ctx context.Context, subscribed bool, names ...mailbox.FolderName) (refused []mailbox.FolderName, err error)
	// Subscribed returns the folders that are subscribed. A folder may be open.
	Subscribed(ctx context.Context) (map[mailbox.FolderName]bool, error)
}

// Header is what a header section gives for recognising a message.
type Header struct {
	// Digest is the SHA-256 of the header section as the store returns it.
	Digest [32]byte
	// Identified is true where the header holds a Message-ID. Messages without
	// one are told apart by their whole bodies.
	Identified bool
}

// Incoming is one message on its way to a target.
type Incoming struct {
	Folder       mailbox.FolderName
	Flags        mailbox.Flags
	InternalDate time.Time
	Size         int64 // bytes that Body yields
	Body         io.Reader
	// Alone keeps the message from being stored together with others: what
	// becomes of it shall be its own doing.
	Alone bool
}

// AppendResult is a store's answer to one Append.
type AppendResult struct {
	// UID and UIDValidity come from APPENDUID (RFC 4315); 0 without UIDPLUS.
	UID         mailbox.UID
	UIDValidity uint32
	// Err is the server's NO, as a Permanent error, or Transient where the
	// response code says that it may pass (over quota, in use, unavailable).
	Err error
	// WithOthers is true where the NO was to several messages at once
	// (MULTIAPPEND): none of them is stored, and any may be the reason.
	WithOthers bool
}

// Ledger keeps what is known of the pairs of a link's messages, and the write
// leases. It is an accelerator: a lost or wrong ledger costs time, never a
// message.
type Ledger interface {
	lease.Records
	// Begin takes the write lease of a mailbox and returns what the ledger knows, in
	// one transaction. Its errors are those of lease.Taker.
	Begin(ctx context.Context, key mailbox.Key, ttl, fence time.Duration) (lease.Lease, []FolderState, error)
	// Save writes an update in one transaction, and nothing of it where the
	// lease's epoch is no longer the current one (Conflict). An Update that
	// opens an intent, or that says Durable, is durable when Save returns.
	Save(ctx context.Context, l lease.Lease, update Update) error
	// Judge decides what of the deletions due in a folder may be carried out,
	// by the limits and by what happened and was decided before, and records
	// that durably: what may go as gone, what is held as waiting for the
	// operator. It is safe to repeat; Conflict where the lease was lost.
	Judge(ctx context.Context, l lease.Lease, limits mirror.Limits, due mirror.Due) (mirror.Decision, error)
}

// FolderState is what the ledger knows of one folder.
type FolderState struct {
	Name mailbox.FolderName
	// SourceValidity and TargetValidity are the UIDVALIDITYs for which Pairs,
	// Intent and Differences hold.
	SourceValidity, TargetValidity uint32
	// SourceAt and TargetAt are the counters at which both sides were last
	// proven equal. If they never were, or not since a write, they are the last
	// UIDNEXT alone.
	SourceAt, TargetAt mailbox.Counters
	Pairs              []mailbox.Run // sorted by source UID
	// Intent is the append that was begun and not confirmed; nil where none.
	Intent      *Intent
	Differences []Difference
	// Recreated is true from when the source's folder was seen to be another one
	// than before, until both sides are equal or what is to go was judged.
	Recreated bool
	// Moving is the move of deleted messages that was begun by copying and not
	// confirmed; nil where none.
	Moving *Moving
	// Former are the target's messages, under TargetValidity, that were in a pair
	// and are in none now: the mirror put them there, or both sides were equal in
	// them. The guard holds every other message that only the target has.
	Former mailbox.UIDSet
	// Witnesses show of the target's messages, under TargetValidity, whether they are
	// still those that Pairs, Former, Moving and the guard know by their UIDs. The map
	// is replaced and never changed. In a folder for deleted messages, which has no
	// validities, they are of the messages that the mirror moved there: see noteMoved.
	Witnesses map[mailbox.UID]Witness
}

// Moving is written before deleted messages are copied to where they are kept.
type Moving struct {
	To mailbox.FolderName
	// Validity and UIDNext are that folder's before the copy.
	Validity uint32
	UIDNext  mailbox.UID
	UIDs     mailbox.UIDSet // of the folder that they are deleted from
	// Copied are those of earlier moves that were copied and had to stay then,
	// as the guard holds them since: they are not copied again.
	Copied mailbox.UIDSet
}

// Intent is written before messages are appended, so that whoever comes next
// knows where to look for those that arrived.
type Intent struct {
	// TargetUIDNext is the target's UIDNEXT before the first append: what was
	// appended under this intent has this UID or a higher one.
	TargetUIDNext mailbox.UID
	// Sources are the source UIDs, appended in ascending order.
	Sources mailbox.UIDSet
}

// DifferenceKind says why a message is not, or not wholly, mirrored.
type DifferenceKind string

// The lasting differences. What the target refused as a whole, a message or a
// folder, is tried again by every full compare, since it may be somebody's only
// copy; the rest when the source changes it or a forced sync asks for it.
const (
	// Refused: the target answered NO to the APPEND.
	Refused DifferenceKind = "refused"
	// Postponed: the same with an answer that may pass, such as that there is no
	// room, while the target accepted other messages. It is tried again after
	// something was removed from the target, too.
	Postponed DifferenceKind = "postponed"
	// Unreadable: the source has the message and will not hand it over.
	Unreadable DifferenceKind = "unreadable"
	// Suspect: the connection to the target was lost at this message, as
	// often in a row as Detail says. It is appended last and alone, until
	// blame.Decide says that it is the reason.
	Suspect DifferenceKind = "suspect"
	// SuspectSource: the same for the connection to the source.
	SuspectSource DifferenceKind = "suspect_source"
	// TargetUnreadable: the target has the message and will not hand it over, or
	// does not let it be changed. It is neither copied again nor deleted. SourceUID
	// is that of its partner, or 0 if the message has none.
	TargetUnreadable DifferenceKind = "target_unreadable"
	// Altered: the target hands back other bytes than it was given.
	Altered DifferenceKind = "altered"
	// Unchecked: appended, and not yet read back although its bytes are of the
	// kind that servers alter. The next sync reads it back.
	Unchecked DifferenceKind = "unchecked"
	// FlagsRefused: the target's PERMANENTFLAGS lack a flag or keyword, or the
	// target took the flags and did not keep them.
	FlagsRefused DifferenceKind = "flags_refused"
	// KeywordsRefused: the target answered NO to a message's keywords, or to the
	// message because of them; it is mirrored without any.
	KeywordsRefused DifferenceKind = "keywords_refused"
	// FolderRefused: the target cannot hold the folder (SourceUID is 0).
	FolderRefused DifferenceKind = "folder_refused"
	// FolderKept: the target would not delete a folder that the source does
	// not have (SourceUID is 0).
	FolderKept DifferenceKind = "folder_kept"
	// Lost: the mirror put the message on the target, again and again, and the
	// target lost it by itself. MovedTo tells which other folder of the target has it.
	Lost DifferenceKind = "lost"
	// SubscriptionKept: the target does not keep a subscription as the source has
	// it (SourceUID is 0).
	SubscriptionKept DifferenceKind = "subscription_kept"
	// OnlyCopy: messages of the target stay, since each may be its only copy of a
	// message that could not be copied to another folder (SourceUID is 0).
	OnlyCopy DifferenceKind = "only_copy"
	// NotPurged: the time of a folder for deleted messages is over, and it holds
	// messages of which nothing shows that the mirror moved them there (SourceUID is
	// 0). They stay.
	NotPurged DifferenceKind = "not_purged"
	// NotKept: messages that the source deleted stay in their folder, since the target
	// has no room for their copies in the folder for deleted messages (SourceUID is 0).
	// Every sync tries it again.
	NotKept DifferenceKind = "not_kept"
	// Undone is no lasting difference by itself: it counts how often in a row the
	// target undid work on a message, or on the folder (SourceUID is 0).
	Undone DifferenceKind = "undone"
)

// Difference is one lasting difference, kept with the folder.
type Difference struct {
	Kind      DifferenceKind
	SourceUID mailbox.UID
	// Detail is the server's response code or our own words; never content. Of
	// a Suspect it is the number of losses.
	Detail string
}

// Update is one transaction on the ledger of a mailbox.
type Update struct {
	Folders []FolderUpdate
	// Drop forgets folders, before Folders is applied.
	Drop []mailbox.FolderName
	// Done, where not nil, records the end of the sync in history, sets the
	// mailbox's state and releases the lease cleanly, in the same transaction.
	Done *Report
	// Undecided names, with Done, the folders with deletions that are held or
	// refused. What the guard noted of any other folder is over.
	Undecided []mailbox.FolderName
	// Durable has Save wait for the disk, as for an update that opens an intent.
	Durable bool
}

// FolderUpdate is what changes for one folder. A folder whose state has other
// UIDVALIDITYs is started anew: its old pairs, intent and differences go.
type FolderUpdate struct {
	Name                           mailbox.FolderName
	SourceValidity, TargetValidity uint32
	SourceAt, TargetAt             mailbox.Counters
	RemovePairs, AddPairs          []mailbox.Run
	// OpenIntent replaces the folder's intent; CloseIntent removes it.
	OpenIntent  *Intent
	CloseIntent bool
	// RemoveDifferences and AddDifferences change the folder's list, in which a
	// message has one of each kind: one that is added takes the other's place.
	RemoveDifferences, AddDifferences []Difference
	Recreated                         bool
	// OpenMove replaces the folder's move; CloseMove removes it.
	OpenMove  *Moving
	CloseMove bool
	// Former replaces the folder's.
	Former mailbox.UIDSet
	// Witnesses replaces blocks of the folder's.
	Witnesses []WitnessBlock
}
