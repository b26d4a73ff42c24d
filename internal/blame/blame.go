// Package blame decides what a failure belongs to: a message, a directory entry,
// a folder, a mailbox, a connection or a store.
//
// An error code alone does not tell. A server answers the same code to one
// message that is too big and to a mailbox that is full. It closes the connection
// for one damaged message and when it restarts. Decide therefore weighs what the
// whole run has seen: what failed how often, what the server accepted before and
// after, and what else there is to try. The copy engine and the directory use the
// same rules.
//
// The package has no state, no clock and no I/O. It knows no protocol.
package blame

import "mailmirror/internal/fault"

// Owner is what a failure belongs to.
type Owner string

// The owners. Undecided means that the run needs more evidence: Verdict.Next says
// how to get it.
const (
	Undecided Owner = ""
	Message   Owner = "message"
	Entry     Owner = "entry"
	Folder    Owner = "folder"
	Mailbox   Owner = "mailbox"
	Store     Owner = "store"
)

// Step is what the run does next.
type Step string

// The steps.
const (
	// Record the failure against its owner, which is the item, and go on.
	Record Step = "record"
	// Again: try the item again, alone, on a new connection and after all others.
	Again Step = "again"
	// Halve: the command was about several items. Repeat it with fewer.
	Halve Step = "halve"
	// GoOn: keep the failure in mind, record nothing yet, and try the next items.
	GoOn Step = "go on"
	// Sample: try some of the other items, from all over the rest, before their
	// turn. If the server may be full, the smallest tell most.
	Sample Step = "sample"
	// Stop: the failure belongs to more than the item. Record nothing against
	// the items that failed alike, and end the work on the owner.
	Stop Step = "stop"
)

const (
	// losses is how many times in a row a connection has to be lost at one item
	// until the item is the reason. Networks lose connections twice by chance.
	losses = 3
	// rowOfServer is how many different items in a row have to fail alike, with a
	// failure that may concern the whole server, until the items are in doubt as
	// the reason.
	rowOfServer = 5
	// rowOfItem is the same for failures that by their code concern the item.
	rowOfItem = 50
	// SampleSize is how many other items the run tries, at the most, to find out
	// whether the server accepts anything.
	SampleSize = 50
	// SampleOfLost is SampleSize for a run that loses the connection at each item, or
	// gets no answer: every item then costs several new connections, or the whole time
	// for an answer.
	SampleOfLost = 5
)

// Evidence is what a run knows about a failure. The zero value of a field means
// that nothing of the kind was seen.
type Evidence struct {
	// Item is what the command was about: Message, Entry, Folder or Mailbox.
	Item Owner
	// Lost is true if the connection ended without an answer to the command.
	// Otherwise the server rejected it.
	Lost bool
	// Silent is true if the server did not answer in time. Lost is false then.
	Silent bool
	// Kind is what the response code suggests. Only rejections have one.
	Kind fault.Kind
	// NoRoom is true if the code says that there is no room for the item. That does
	// not pass within seconds, as other Transient codes may.
	NoRoom bool
	// Together is how many items the command was about; 0 counts as 1.
	Together int
	// Times is how often in a row this item failed like this, this time included.
	// Earlier runs count if the caller remembers them.
	Times int
	// Reached is true if, since the connection was lost before this time, the
	// server answered any command on a new connection. It matters only if Lost.
	Reached bool
	// Known is true if every item of the row failed in the same way in an earlier
	// run, which recorded it. It is no news about the server.
	Known bool
	// Before is how many other items the server accepted in this run before this
	// item failed. After is how many it accepted since the item first failed, also
	// in later runs.
	Before, After int
	// Row is how many different items failed alike since the server last accepted
	// one, this item included; 0 counts as 1.
	Row int
	// Rest is how many other items the run has not tried yet.
	Rest int
	// Sampled is how many items the run tried on purpose, see Sample, and the
	// server accepted none of them.
	Sampled int
	// Elsewhere counts what the same run tried outside of the folder.
	Elsewhere Tally
}

// Tally counts items.
type Tally struct{ Tried, Accepted int }

// Verdict says what a failure belongs to and what the run does next. Owner is
// Undecided if and only if Next asks for more evidence.
type Verdict struct {
	Owner Owner
	Next  Step
}

// Sample is how many other items the run tries at the most to find out whether the
// server accepts anything.
func (e Evidence) Sample() int {
	if e.Lost || e.Silent {
		return SampleOfLost
	}
	return SampleSize
}

// Decide returns what a failure belongs to.
func Decide(e Evidence) Verdict {
	item := Verdict{e.Item, Record}
	sample := e.Sample()
	switch {
	case e.Together > 1:
		return Verdict{Next: Halve}
	case e.Lost && !e.Reached && e.Times > 1:
		// Not even the login worked since: no item can be the reason.
		return Verdict{Store, Stop}
	case e.Lost && e.Times < losses:
		return Verdict{Next: Again}
	case e.After > 0, e.Known:
		return item
	case max(e.Row, 1) < Doubt(e.Lost, e.Kind) && e.Rest > 0:
		if e.Lost && e.Before > 0 {
			return item
		}
		return Verdict{Next: GoOn}
	case e.Sampled < sample && e.Rest > 0:
		return Verdict{Next: Sample}
	case e.Sampled >= sample:
		return Verdict{container(e), Stop}
	case ofItem(e):
		return item
	}
	return Verdict{container(e), Stop}
}

// Doubt returns how many different items in a row have to fail alike until the
// run stops believing that the items are the reason.
func Doubt(lost bool, kind fault.Kind) int {
	if lost || OfServer(kind) {
		return rowOfServer
	}
	return rowOfItem
}

// OfServer reports a code that may concern the whole server: read-only, full, no
// rights, busy.
func OfServer(kind fault.Kind) bool { return kind == fault.Config || kind == fault.Transient }

// ofItem decides when nothing is left that could tell more.
func ofItem(e Evidence) bool {
	row := max(e.Row, 1)
	switch {
	case e.Lost:
		// The connection works, and this item alone always ends it.
		return e.Before > 0 || (row == 1 && (e.Elsewhere.Tried == 0 || e.Elsewhere.Accepted > 0))
	case e.Kind == fault.Transient && e.Item != Entry:
		// The code says that it may pass. If it did not, although the server
		// accepted others, it is the item. So it is if only others had room.
		return e.Before > 0 && (e.NoRoom || e.Times >= losses)
	}
	return row < Doubt(false, e.Kind) || e.Before > 0
}

// container is the narrowest thing that explains why nothing is accepted.
func container(e Evidence) Owner {
	switch {
	case e.Item == Entry, e.Item == Mailbox:
		return Store
	case e.Item == Folder:
		return Mailbox
	case e.Elsewhere.Tried > 0 && e.Elsewhere.Accepted == 0:
		return Mailbox
	}
	return Folder
}
