package directory

// ChangeKind is what the compare found about one mailbox.
type ChangeKind string

// The kinds, in the order in which they are carried out: what frees a number
// comes before what takes it.
const (
	// Renumber: the pair is known, and its number is another on the source.
	Renumber ChangeKind = "renumber"
	// Alter: both sides have it, and columns differ.
	Alter ChangeKind = "alter"
	// Create: the target does not have it.
	Create ChangeKind = "create"
	// Remove: the source has it no more, and we made or paired it once.
	Remove ChangeKind = "remove"
	// Unknown: only the target has it, and it was never ours. It is told, and
	// removed only where the link says so.
	Unknown ChangeKind = "unknown"
	// Duplicate: several entries of one side have the number, or it has none, or
	// another entry of the target has it and keeps it. None is touched.
	Duplicate ChangeKind = "duplicate"
	// Protected: it would have been changed or removed, were it not protected.
	Protected ChangeKind = "protected"
	// Unreadable: the server has the entry and does not hand it over, or not even tells
	// which one it is. Nothing is done to it.
	Unreadable ChangeKind = "unread"
)

// Change is one mailbox that differs.
type Change struct {
	Kind   ChangeKind `json:"kind"`
	Number string     `json:"number"` // the source's; the target's where the source has none
	// Source and Target find the entries; zero where a side has none.
	Source Ref `json:"source,omitzero"`
	Target Ref `json:"target,omitzero"`
	// Columns differ, in the order of Attributes. Blank are those of them in
	// which the source had no value: only they are ever taken from the target, so
	// that what rights hide since then is not.
	Columns []Column `json:"columns,omitempty"`
	Blank   []Column `json:"blank,omitempty"`
	// Via is a free number that the entry is given for a while, as its own is
	// another's in a circle: a Renumber to Number follows in a change of its own.
	Via string `json:"via,omitempty"`
}

// Limits say how much a run may change without anybody being asked. The zero
// value of each switches it off.
type Limits struct {
	// RemoveCount and RemoveShare (percent of the target's entries): more than
	// that are not removed unasked.
	RemoveCount int `json:"remove_count"`
	RemoveShare int `json:"remove_share"`
	// ChangeCount and ChangeShare are the same for everything that a run would
	// change but create.
	ChangeCount int `json:"change_count"`
	ChangeShare int `json:"change_share"`
	// ShrinkShare: a source that has that many percent fewer entries than in the
	// run before is not believed at all, and nothing is changed.
	ShrinkShare int `json:"shrink_share"`
	// ShareMinimum: a share says nothing of fewer entries than that, as one of
	// nine is more than a tenth. More than half of a directory are too many to be
	// gone, however few they are.
	ShareMinimum int `json:"share_minimum"`
}

// Tally counts a compare's changes by kind, with what they are measured against.
type Tally struct {
	Source, Target int // entries
	Kinds          map[ChangeKind]int
	// Planned counts those of a kind that would be carried out: neither told
	// alone, nor given up, nor refused.
	Planned map[ChangeKind]int
	// Approved counts those of Planned that an operator let go already.
	Approved map[ChangeKind]int
	// Held is how many of Planned wait for the operator.
	Held int
}
