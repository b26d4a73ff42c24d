package copier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// What a target undoes by itself, the mirror would do again in every sync: copy
// messages that the target expires, delete folders that it creates. The ledger
// counts how often in a row the target undid the same work. After undoneInRow
// times the work is a lasting difference, and Mailmirror tries it again after a
// day, and then after twice as long each time.
const (
	undoneInRow = 3
	// undoneMemory is after how long work that lasted counts as done.
	undoneMemory = 7 * 24 * time.Hour
	firstRetry   = 24 * time.Hour
	lastRetry    = 30 * 24 * time.Hour
)

// undone is how often in a row the target undid the same work, and when last.
type undone struct {
	times int
	at    time.Time
	// copy is where another folder of the target has the message.
	copy copyAt
}

// undoneOf reads what String wrote; the zero value where it cannot.
func undoneOf(detail string) undone {
	var times int
	var at int64
	if _, err := fmt.Sscanf(detail, "%d %d", &times, &at); err != nil || times < 1 {
		return undone{}
	}
	u := undone{times: times, at: time.Unix(at, 0)}
	if fields := strings.SplitN(detail, " ", 3); len(fields) == 3 {
		u.copy = copyAtOf(fields[2])
	}
	return u
}

func (u undone) String() string { return fmt.Sprintf("%d %d", u.times, u.at.Unix()) + u.copy.String() }

// again counts one time more.
func (u undone) again(now time.Time) undone {
	if !u.lasting() && now.Sub(u.at) > undoneMemory {
		u.times = 0
	}
	return undone{times: u.times + 1, at: now}
}

// lasting reports whether the work is not to be done again for now.
func (u undone) lasting() bool { return u.times >= undoneInRow }

// due reports whether the work is to be tried (again).
func (u undone) due(now time.Time) bool {
	if !u.lasting() {
		return true
	}
	wait := lastRetry
	if n := u.times - undoneInRow; n < 5 {
		wait = min(firstRetry<<n, lastRetry)
	}
	return now.Sub(u.at) >= wait
}

// undone returns what the ledger counts of the folder itself.
func (s *FolderState) undone() undone {
	for _, d := range s.Differences {
		if d.Kind == Undone && d.SourceUID == 0 {
			return undoneOf(d.Detail)
		}
	}
	return undone{}
}

// lossesDue reports whether a message that the target lost is to be tried again.
func (s *FolderState) lossesDue(now time.Time) bool {
	lost, due := false, false
	for _, d := range s.Differences {
		lost = lost || d.Kind == Lost
		u := undoneOf(d.Detail)
		due = due || (d.Kind == Undone && u.lasting() && u.due(now))
	}
	return lost && due
}

// lasting counts the differences that an operator is to know of.
func (s *FolderState) lasting() int {
	n := 0
	for _, d := range s.Differences {
		if d.Kind != Undone {
			n++
		}
	}
	return n
}

// asked reports whether an operator asked for this sync, who may have put right
// what the target undid.
func (j Job) asked() bool { return j.Force && !j.Retry }

// takeOverLosses takes over what the ledger counts of messages that the target
// lost. It returns those that are not to be copied now. Those that are due are copied
// if seekCopies finds them in no other folder of the target.
func (f *folderRun) takeOverLosses() (skip []mailbox.UID) {
	f.losses = map[mailbox.UID]undone{}
	now := f.clock.Now()
	for _, d := range f.state.Differences {
		u := undoneOf(d.Detail)
		if d.Kind != Undone || d.SourceUID == 0 || u.times == 0 {
			continue
		}
		if _, paired := f.pairs.Target(d.SourceUID); u.lasting() && !paired {
			f.notThere = append(f.notThere, d.SourceUID)
			if u.due(now) || f.job.asked() {
				u.at = now
				f.seek.Add(d.SourceUID)
			} else {
				skip = append(skip, d.SourceUID)
			}
		}
		f.losesOften = f.losesOften || u.lasting()
		f.losses[d.SourceUID] = u
	}
	return skip
}

// lost notes that a message which the mirror put on the target, and which the
// source still has, is gone from there. The first times it is copied again: a
// user may have deleted it. In a folder that is known to lose messages it is not. It is
// not either if it is gone for the second time, or right after this sync copied it, and
// seekCopies finds it in another folder: that is a filter, or what a user wants.
func (f *folderRun) lost(uid mailbox.UID) {
	u := f.losses[uid].again(f.clock.Now())
	if f.losesOften {
		u.times = max(u.times, undoneInRow)
	}
	f.losses[uid] = u
	if u.lasting() {
		f.losesOften = true
		f.skip.Add(uid)
	}
	if u.times > 1 || f.accepted[uid] > 0 {
		f.seek.Add(uid)
	}
}

// lossesLeft lists what is to be kept of the losses: not those of messages that
// stayed for long since.
func (f *folderRun) lossesLeft() []Difference {
	var out []Difference
	for uid, u := range f.losses {
		_, paired := f.pairs.Target(uid)
		if !f.source.UIDs.Contains(uid) || (paired && f.clock.Now().Sub(u.at) > undoneMemory) {
			continue
		}
		if paired {
			u.copy = copyAt{} // any copy elsewhere is one too many
		}
		out = append(out, Difference{Kind: Undone, SourceUID: uid, Detail: u.String()})
		if u.lasting() && !paired {
			out = append(out, Difference{Kind: Lost, SourceUID: uid, Detail: lostDetail(u.copy)})
		}
	}
	return out
}

// deleted notes that a folder was deleted, so that it is known again if the target
// creates it by itself.
func (r *run) deleted(name mailbox.FolderName) {
	again := r.state(name).undone().again(r.clock.Now())
	r.drop(name)
	state := r.state(name)
	state.Differences = []Difference{{Kind: Undone, Detail: again.String()}}
	r.pending.Folders = append(r.pending.Folders, FolderUpdate{Name: name, AddDifferences: state.Differences})
	r.deletions = true
}

// comesBack reports whether the target created a folder by itself each time it was
// deleted, so that deleting it is to be left for now.
func (r *run) comesBack(name mailbox.FolderName) bool {
	s := r.state(name)
	u := s.undone()
	return !r.job.asked() && !s.kept() && u.times >= undoneInRow-1 && r.clock.Now().Sub(u.at) <= undoneMemory
}

// kept reports whether the target would not let the folder go.
func (s *FolderState) kept() bool {
	return slices.ContainsFunc(s.Differences, func(d Difference) bool { return d.Kind == FolderKept })
}

var errComesBack = fault.Newf(fault.Permanent, "the target creates the folder by itself whenever it is deleted")

// checkUndone looks at the target's folders once more if some were deleted, and at
// its subscriptions if some were changed, and records what the target did not keep.
func (r *run) checkUndone(ctx context.Context) error {
	subscribed := map[mailbox.FolderName]bool{}
	switch {
	case r.deletions:
		if err := r.target.Unselect(ctx); err != nil {
			return fault.Wrap(err, "close target folder")
		}
		list, err := r.target.List(ctx)
		if err != nil {
			return fault.Wrap(err, "list target folders again")
		}
		for _, f := range list {
			subscribed[f.Name] = f.Subscribed
			if s := r.states[f.Name]; f.Selectable && s != nil && s.SourceValidity == 0 && !lists(r.sourceList, f.Name) &&
				s.undone().times > 0 && !s.kept() {
				r.refuseFolder(f.Name, 0, FolderKept, errComesBack)
			}
		}
	case len(r.subscriptions) > 0:
		var err error
		if subscribed, err = r.target.Subscribed(ctx); err != nil {
			return fault.Wrap(err, "list target subscriptions again")
		}
	}
	for name, want := range r.subscriptions {
		r.noteSubscription(name, subscribed[name] == want)
	}
	return nil
}

// noteSubscription records whether the target keeps a subscription as the source
// has it.
func (r *run) noteSubscription(name mailbox.FolderName, kept bool) {
	s := r.state(name)
	u := s.asUpdate()
	u.SourceAt, u.TargetAt, u.OpenMove = s.SourceAt, s.TargetAt, nil
	i := slices.IndexFunc(s.Differences, func(d Difference) bool { return d.Kind == SubscriptionKept })
	switch d := (Difference{Kind: SubscriptionKept, Detail: "the target does not keep the subscription as the source has it"}); {
	case i >= 0 && kept:
		u.RemoveDifferences = s.Differences[i : i+1]
		s.Differences = slices.Concat(s.Differences[:i], s.Differences[i+1:])
	case i < 0 && !kept:
		u.AddDifferences = []Difference{d}
		s.Differences = append(slices.Clip(s.Differences), d)
	default:
		return
	}
	r.pending.Folders = append(r.pending.Folders, u)
}
