package copier

import (
	"context"
	"maps"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// folderRun is one folder being made equal.
type folderRun struct {
	*run
	name  mailbox.FolderName
	state *FolderState

	source, target mirror.View
	permanent      mailbox.Permanent
	pairs          *mailbox.UIDMap
	// differences by kind and source UID.
	differences map[Difference]bool
	skip        mailbox.UIDSet
	// unread are messages of the source that cannot be read, damaged those of the
	// target. formerly are the target's messages whose partners the ledger knows.
	unread, damaged, formerly mailbox.UIDSet
	// known is true if the ledger knows the folder; doubted may be on the target already,
	// as messages that cannot be read there.
	known   bool
	doubted mailbox.UIDSet
	// recheckSource and recheckTarget could not be read earlier, and are tried again.
	recheckSource, recheckTarget mailbox.UIDSet
	// stuck are messages of the target that it does not let go, damage is the last
	// reason why one was found damaged.
	stuck  mailbox.UIDSet
	damage string
	// notThere are the messages that the ledger knows to be missing on the
	// target: skip, and those that are tried again now.
	notThere []mailbox.UID
	// trial is what is known of the messages that the target rejected.
	trial trial
	// sending are the appended messages without an answer, the oldest first.
	sending []mailbox.UID
	// breaks are what this run knows of connections that were lost in the folder.
	breaks *breaks
	// alone are messages that are not to be stored together with others.
	alone mailbox.UIDSet
	// losses counts how often the target lost messages; losesOften is true in a
	// folder in which it lost one too often.
	losses     map[mailbox.UID]undone
	losesOften bool
	// seek are lost messages that another folder of the target may have. moves is true
	// if it had such messages, and the ledger had to forget which.
	seek  mailbox.UIDSet
	moves bool
	// flagsSeen counts how often in this sync a message was to get flags, by what it
	// had and was to get; flagsUnkept is what the ledger says of such messages.
	flagsSeen   map[unkept]int
	flagsUnkept map[mailbox.UID]string
	// noKeywords are messages whose keywords the target refused.
	noKeywords mailbox.UIDSet
	// sourceMoved is true once the source is known to have changed since it
	// was looked at: its counters are then no proof of anything.
	sourceMoved bool
	// unconfirmed are appended messages whose UID the target did not tell, in
	// the order of their appends, and their lowest possible UID.
	unconfirmed     []mailbox.UID
	unconfirmedFrom mailbox.UID
	// accepted counts how often the target took a message in this sync.
	accepted map[mailbox.UID]int
	// fresh holds what was given to the target since it was last looked at.
	fresh map[mailbox.UID]sent
	// confirmed is how many pairs the ledger was last told.
	confirmed int
	// transient is a NO that may pass; it ends the copying, not the expunging.
	transient error
	// hold keeps expunges back until every folder of the mailbox has its new
	// messages; held is true where that was done.
	hold, held bool
	ruling
	left bool // the last plan was empty but for what may not go
	// witnesses are those of the target's messages, as far as they are known now.
	witnesses map[mailbox.UID]Witness
}

// folder makes one folder equal and puts the result into the pending update.
// Expunges are held back: see finish.
func (r *run) folder(ctx context.Context, name mailbox.FolderName) (*folderRun, error) {
	f := &folderRun{run: r, name: name, state: r.state(name), fresh: map[mailbox.UID]sent{},
		accepted: map[mailbox.UID]int{}, hold: true}
	if err := f.look(ctx); err != nil {
		return f, err
	}
	if r.job.Force {
		again := f.pairAnew
		if f.strangers() {
			again = f.startOver
		}
		f.lapse()
		if err := again(ctx); err != nil {
			return f, err
		}
	}
	return f, f.settle(ctx)
}

// finish does what was held back, so that a message that was moved from one
// folder to another is on the target at every moment.
func (f *folderRun) finish(ctx context.Context) error {
	f.askAnew()
	now, err := f.run.source.Examine(ctx, f.name)
	if err != nil {
		return fault.Wrap(err, "examine source folder again")
	}
	if now.UIDValidity != f.source.Counters.UIDValidity {
		return fault.Newf(fault.Conflict, "the source folder was re-created in mid-sync")
	}
	if err := f.lookAgain(ctx); err != nil {
		return err
	}
	return f.settle(ctx)
}

// settle plans and acts until the folder is equal.
func (f *folderRun) settle(ctx context.Context) error {
	r := f.run
	for range r.opts.Looks {
		f.lapse()
		f.pairs = mirror.Live(f.pairs, f.source.UIDs, f.target.UIDs)
		if err := f.recognise(ctx); err != nil {
			return err
		}
		if err := f.checkFresh(ctx); err != nil {
			return err
		}
		if err := f.complete(ctx); err != nil {
			return err
		}
		if f.strangers() {
			if err := f.startOver(ctx); err != nil {
				return err
			}
		}
		f.lapse()
		if err := f.seekCopies(ctx); err != nil {
			return err
		}
		keep := f.uncertain()
		plan, err := mirror.PlanFolder(mirror.FolderInput{Source: f.source, Target: f.target, Pairs: f.pairs, Permanent: f.permanent,
			Skip: f.skip, Unread: f.unread, Damaged: f.damaged, Keep: keep, NoKeywords: f.noKeywords})
		if err != nil {
			return err
		}
		f.pairs = plan.Pairs
		f.noteRefusedFlags(plan)
		plan.SetFlags = f.withoutUnkept(plan.SetFlags)
		f.left = len(keep.Minus(f.damaged)) > 0 // to be looked at again
		switch {
		case len(plan.Expunge) == 0:
		case f.hold:
			f.held, plan.Expunge = true, nil
		default:
			if plan.Expunge, err = f.permitted(ctx, plan.Expunge); err != nil {
				f.record(false)
				return err
			}
		}
		if plan.Empty() {
			f.state.Recreated = f.state.Recreated && f.held
			f.record(!f.held)
			return nil
		}
		if err := f.apply(ctx, plan); err != nil {
			f.record(false)
			return err
		}
		if err := f.lookAgain(ctx); err != nil {
			f.record(false)
			return err
		}
		if f.transient != nil && len(plan.Expunge) == 0 {
			break // nothing was freed, so the same answer would come again
		}
	}
	f.record(false)
	if f.transient != nil {
		return &folderTrouble{f.transient, !fault.Is(f.transient, fault.Permanent)}
	}
	return &folderTrouble{error: fault.New(fault.Transient, "folder is not equal after "+plural(r.opts.Looks, "look"), nil,
		"somebody else writes to this folder on the target, or the target does not keep what it is given")}
}

// strangers reports pairs whose messages cannot be the same, and copies of other messages
// than the source has: dates or sizes differ, and nobody saw the target alter one. The
// ledger is wrong, or a store was restored from a backup and gave UIDs out again.
func (f *folderRun) strangers() bool {
	if f.exchanged() || f.givenAnew() {
		return true
	}
	altered := f.alteredSources()
	for s, t := range f.pairs.All() {
		a, knownA := f.source.Messages[s]
		b, knownB := f.target.Messages[t]
		if knownA && knownB && !altered[s] && (a.Size != b.Size || !a.InternalDate.Equal(b.InternalDate)) {
			return true
		}
	}
	return false
}

// startOver looks at everything and holds every pair against the messages:
// where one pair is wrong no other can be believed, and what is expunged for a
// wrong one is somebody's message.
func (f *folderRun) startOver(ctx context.Context) error {
	f.state.Recreated = true // a source that came back from a backup lacks what came since
	f.state.Former = nil     // and nothing shows whose the messages of wrong pairs are
	f.forgetRefusals()
	var err error
	f.source, err = view(ctx, f.run.source, f.source.Counters, nil, f.unread)
	if err = f.sourceWithheld(err); err != nil {
		return fault.Wrap(err, "look at all of the source folder")
	}
	f.target, err = view(ctx, f.run.target, f.target.Counters, nil, f.damaged)
	if err = f.targetWithheld(err); err != nil {
		return fault.Wrap(err, "look at all of the target folder")
	}
	if err := f.pairAnew(ctx); err != nil {
		return err
	}
	return f.checkFresh(ctx)
}

// alteredSources are the messages of which the target keeps something else.
func (f *folderRun) alteredSources() map[mailbox.UID]bool {
	altered := map[mailbox.UID]bool{}
	for d := range f.differences {
		altered[d.SourceUID] = altered[d.SourceUID] || d.Kind == Altered || d.Kind == Unchecked
	}
	return altered
}

// folderTrouble is an error that leaves the sessions usable, so that the
// other folders go on.
type folderTrouble struct {
	error
	mayPass bool // the target answered that it may accept the messages later
}

func (t *folderTrouble) Unwrap() error { return t.error }

// look views both sides for the first time and takes over from the ledger
// what still holds.
func (f *folderRun) look(ctx context.Context) error {
	var sourceNow, targetNow mailbox.Counters
	err := f.both(
		func() (err error) {
			sourceNow, err = f.run.source.Examine(ctx, f.name)
			return fault.Wrap(err, "examine source folder")
		},
		func() (err error) {
			targetNow, f.permanent, err = f.run.target.Select(ctx, f.name)
			return fault.Wrap(err, "select target folder")
		})
	if err != nil {
		return err
	}
	f.takeOver(sourceNow, targetNow)

	var sourceBase, targetBase *base
	if !f.job.Force && f.attested() {
		sourceBase = newBase(f.state.SourceAt, f.knownSources())
		targetBase = newBase(f.state.TargetAt, f.pairs.Targets())
	}
	var sourceWithheld, targetWithheld *WithheldError
	err = f.both(
		func() (err error) {
			f.source, err = view(ctx, f.run.source, sourceNow, sourceBase, f.unread)
			sourceWithheld, err = apart(err)
			return fault.Wrap(err, "look at source folder")
		},
		func() (err error) {
			f.target, err = view(ctx, f.run.target, targetNow, targetBase, f.damaged)
			targetWithheld, err = apart(err)
			return fault.Wrap(err, "look at target folder")
		})
	if err != nil {
		return err
	}
	_ = f.sourceWithheld(sourceWithheld.OrNil())
	_ = f.targetWithheld(targetWithheld.OrNil())
	if err := f.fetchSource(ctx, f.recheckSource.Intersect(f.source.UIDs).Minus(knownUIDs(f.source)).Minus(f.unread)); err != nil {
		return fault.Wrap(err, "look again at source messages that could not be read")
	}
	if err := f.fetchTarget(ctx, f.recheckTarget.Intersect(f.target.UIDs).Minus(knownUIDs(f.target)).Minus(f.damaged)); err != nil {
		return fault.Wrap(err, "look again at target messages that could not be read")
	}
	if sourceBase != nil {
		f.retryChangedKeywords()
	}
	if (sourceBase != nil && sourceNow != sourceBase.counters) || (targetBase != nil && targetNow != targetBase.counters) {
		return f.sampleYoungest(ctx)
	}
	return nil
}

// takeOver keeps the ledger's pairs and differences where both UIDVALIDITYs
// are the same and no counter went backwards, which a folder that was
// re-created within a second or restored from a backup would show.
func (f *folderRun) takeOver(source, target mailbox.Counters) {
	s, witnesses := f.state, f.state.Witnesses
	if s.TargetValidity != target.UIDValidity {
		witnesses = nil
	}
	f.witnesses = maps.Collect(maps.All(witnesses))
	holds := s.SourceValidity == source.UIDValidity && s.TargetValidity == target.UIDValidity &&
		!backwards(s.SourceAt, source) && !backwards(s.TargetAt, target)
	if !holds {
		f.moves = len(s.copies()) > 0
		next := FolderState{Name: f.name, SourceValidity: source.UIDValidity, TargetValidity: target.UIDValidity,
			Recreated: s.Recreated || (s.SourceValidity != 0 && s.SourceValidity != source.UIDValidity) || backwards(s.SourceAt, source)}
		if s.TargetValidity == target.UIDValidity {
			next.Moving = s.Moving
			if !backwards(s.TargetAt, target) {
				next.Former = s.own()
			}
		}
		*s = next
		f.run.pending.Drop = append(f.run.pending.Drop, f.name)
		if s.Recreated || s.Moving != nil || len(s.Former)+len(witnesses) > 0 {
			// Nobody could tell it from a folder that is new, later.
			update := s.asUpdate()
			update.Witnesses = s.keepWitnesses(witnesses, false)
			f.run.pending.Folders = append(f.run.pending.Folders, update)
		}
	}
	f.remember(s.Intent)
	f.known = len(s.Pairs)+len(s.Differences) > 0
	f.pairs = mailbox.NewUIDMap(s.Pairs)
	f.formerly = f.pairs.Targets()
	f.confirmed = f.pairs.Len()
	f.differences = make(map[Difference]bool, len(s.Differences))
	f.flagsSeen, f.flagsUnkept = map[unkept]int{}, map[mailbox.UID]string{}
	var skip, noKeywords, unread, damaged []mailbox.UID
	for _, d := range s.Differences {
		switch {
		case d.Kind == Undone || d.Kind == Lost: // see takeOverLosses
		case d.Kind == SubscriptionKept:
			f.differences[d] = true
		case d.Kind == FlagsRefused:
			f.flagsUnkept[d.SourceUID] = d.Detail
			f.differences[d] = true
		case d.SourceUID == 0 || (f.job.Force && d.Kind == KeywordsRefused):
		case d.Kind == Refused || d.Kind == Unreadable || d.Kind == Postponed:
			f.notThere = append(f.notThere, d.SourceUID)
			if f.triesAgain(d) {
				if d.Kind == Unreadable {
					f.recheckSource.Add(d.SourceUID)
				}
				continue
			}
			skip = append(skip, d.SourceUID)
			if d.Kind == Unreadable {
				unread = append(unread, d.SourceUID)
			}
			f.differences[d] = true
		case d.Kind == TargetUnreadable:
			t, paired := f.pairs.Target(d.SourceUID)
			switch {
			case !paired:
				f.doubted.Add(d.SourceUID)
			case f.triesAgain(d):
				f.recheckTarget.Add(t)
			default:
				damaged = append(damaged, t)
				f.differences[d] = true
			}
		case d.Kind == KeywordsRefused:
			noKeywords = append(noKeywords, d.SourceUID)
			f.differences[d] = true
		case d.Kind == Unchecked:
			f.fresh[d.SourceUID] = sent{odd: true}
			f.differences[d] = true
		default:
			f.differences[d] = true
		}
	}
	skip = append(skip, f.takeOverLosses()...)
	f.skip, f.noKeywords = mailbox.NewUIDSet(skip...), mailbox.NewUIDSet(noKeywords...)
	f.unread, f.damaged = mailbox.NewUIDSet(unread...), mailbox.NewUIDSet(damaged...)
}

func backwards(then, now mailbox.Counters) bool {
	return now.UIDNext < then.UIDNext || now.HighestModSeq < then.HighestModSeq
}

func (f *folderRun) knownSources() mailbox.UIDSet {
	return f.pairs.Sources().Union(mailbox.NewUIDSet(f.notThere...))
}

// lookAgain views the target after it was written to.
func (f *folderRun) lookAgain(ctx context.Context) error {
	now, permanent, err := f.run.target.Select(ctx, f.name)
	if err != nil {
		return fault.Wrap(err, "select target folder again")
	}
	if now.UIDValidity != f.target.Counters.UIDValidity {
		return fault.Newf(fault.Conflict, "the target folder was re-created in mid-sync")
	}
	f.permanent = permanent
	next, err := view(ctx, f.run.target, now, newBase(f.target.Counters, f.target.UIDs), f.damaged)
	if err = f.targetWithheld(err); err != nil {
		return fault.Wrap(err, "look at target folder again")
	}
	for uid, m := range f.target.Messages {
		if _, changed := next.Messages[uid]; !changed && next.UIDs.Contains(uid) {
			next.Messages[uid] = m
		}
	}
	f.target = next
	return nil
}

// complete fetches what only one side's view knows, so that flags of partners
// can be compared, and the metadata of what is to be appended.
func (f *folderRun) complete(ctx context.Context) error {
	needSource, needTarget := mirror.HalfKnown(f.source, f.target, f.pairs)
	unknown := f.singles().Minus(knownUIDs(f.source))
	needSource = needSource.Union(unknown).Minus(f.unread)
	if err := f.fetchSource(ctx, needSource); err != nil {
		return err
	}
	// A partner that vanished on the source since leaves its target alone
	// until the next sync sees it gone.
	_, again := mirror.HalfKnown(f.source, f.target, f.pairs)
	return f.fetchTarget(ctx, needTarget.Union(again).Minus(f.damaged))
}

// fetchSource adds metadata to the source's view; what is gone leaves it.
func (f *folderRun) fetchSource(ctx context.Context, uids mailbox.UIDSet) error {
	gone, err := fetchInto(ctx, f.run.source, &f.source, uids)
	if len(gone) > 0 {
		f.sourceMoved = true
	}
	return f.sourceWithheld(err)
}

func (f *folderRun) fetchTarget(ctx context.Context, uids mailbox.UIDSet) error {
	_, err := fetchInto(ctx, f.run.target, &f.target, uids)
	return f.targetWithheld(err)
}

// record puts what is now known of the folder into the pending update.
// proven is true where the last plan was empty.
func (f *folderRun) record(proven bool) {
	u := FolderUpdate{Name: f.name, SourceValidity: f.state.SourceValidity, TargetValidity: f.state.TargetValidity,
		Recreated: f.state.Recreated}
	f.state.Former = f.former()
	u.Former = f.state.Former
	u.SourceAt, u.TargetAt = floor(f.source.Counters), floor(f.target.Counters)
	if proven && !f.left && !f.sourceMoved {
		u.SourceAt, u.TargetAt = f.source.Counters, f.target.Counters
	}
	f.attest()
	f.saveWitnesses(&u)
	runs := f.pairs.Runs()
	u.RemovePairs, u.AddPairs = mailbox.DiffRuns(f.state.Pairs, runs)
	if proven && f.state.Intent != nil {
		u.CloseIntent = true
		f.state.Intent = nil
	}
	if proven && !f.left && len(f.only) == 0 && f.state.Moving != nil {
		u.CloseMove = true
		f.state.Moving = nil
	}
	lasting := f.lasting()
	u.RemoveDifferences, u.AddDifferences = diffDifferences(f.state.Differences, lasting)
	f.state.Pairs, f.state.Differences = runs, lasting
	f.confirmed, f.breaks.recorded = f.pairs.Len(), true
	f.state.SourceAt, f.state.TargetAt = u.SourceAt, u.TargetAt
	f.run.pending.Folders = append(f.run.pending.Folders, u)
}
