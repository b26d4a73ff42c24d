package watch

import (
	"fmt"
	"time"
)

const (
	// fewFirst is one in how many mailboxes of a link may still wait to be mirrored for
	// the first time when NOTIFY begins.
	fewFirst = 10
	// firstPatience is for how long NOTIFY waits while no mailbox is mirrored for the
	// first time: nobody may have started that, or the link may be suspended.
	firstPatience = 30 * time.Minute
	// firstAgain is how often the plan is read while NOTIFY waits: nobody tells that a
	// mailbox was mirrored.
	firstAgain = 10 * time.Second
)

// first is how many mailboxes of a link wait to be mirrored for the first time.
//
// For NOTIFY the store lists all mailboxes, and a server whose caches are cold looks
// into each of them for that. The first sync of a mailbox does so anyway, so that the
// list costs little after it, and much before and beside it. The zero value is a link
// of which no mailbox waits.
type first struct {
	waiting, all int
	since        time.Time // when waiting became too many, or last fell
}

// update takes in that so many of all mailboxes wait.
func (f *first) update(waiting, all int, now time.Time) {
	before := *f
	f.waiting, f.all = waiting, all
	if waiting < before.waiting || f.tooMany() && !before.tooMany() {
		f.since = now
	}
}

func (f *first) tooMany() bool { return f.waiting > max(crowd, f.all/fewFirst) }

// holds reports whether NOTIFY is to wait. A parked mailbox does not wait to be
// mirrored, and so NOTIFY does not wait for it.
func (f *first) holds(now time.Time) bool { return f.tooMany() && now.Sub(f.since) < firstPatience }

func (f *first) String() string {
	return fmt.Sprintf("Mailmirror listens with NOTIFY once most mailboxes were mirrored for the first time, since the store looks into each of them for it "+
		"(%d of %d wait for that); until then it reads each mailbox in turn by a login", f.waiting, f.all)
}
