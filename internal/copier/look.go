package copier

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// base is a state of a folder that is wholly known: what a later view need
// not ask for again.
type base struct {
	counters mailbox.Counters
	uids     mailbox.UIDSet
}

// newBase returns nil where the counters and the UIDs cannot be of the same
// moment, as in a ledger that was altered, or where flags could have changed
// without any counter telling.
func newBase(counters mailbox.Counters, uids mailbox.UIDSet) *base {
	if counters.HighestModSeq == 0 || uids.Len() != int(counters.Messages) {
		return nil
	}
	return &base{counters, uids}
}

// view looks at the open folder whose counters were now when it was opened.
// With a base it asks only for what is new or changed since. It asks for nothing of
// the messages to be avoided. The error is a *WithheldError if it is only that some
// messages cannot be read; the view is whole then, but for their metadata.
func view(ctx context.Context, rd Reader, now mailbox.Counters, b *base, avoid mailbox.UIDSet) (mirror.View, error) {
	v := mirror.View{Counters: now, Messages: map[mailbox.UID]mailbox.Message{}}
	if now.UIDNext <= 1 && now.Messages > 0 {
		return v, fault.Newf(fault.Transient, "the server tells of messages and of no next UID")
	}
	if now.UIDNext <= 1 || (now.Messages == 0 && b == nil) {
		return v, nil
	}
	// UIDs from UIDNEXT on came after the folder was opened; they belong to
	// the next look.
	all := mailbox.UIDSet{{First: 1, Last: now.UIDNext - 1}}
	if b == nil || now.HighestModSeq == 0 {
		messages, err := rd.Messages(ctx, all.Minus(avoid), 0)
		withheld, err := apart(err)
		if err != nil {
			return v, err
		}
		for _, m := range messages {
			v.UIDs.Add(m.UID)
			v.Messages[m.UID] = m
		}
		if withheld == nil && len(avoid) == 0 {
			return v, nil
		}
		uids, err := rd.UIDs(ctx)
		if err != nil {
			return v, err
		}
		v.UIDs = uids.Intersect(all)
		v.Forget()
		return v, withheld.OrNil()
	}
	if now == b.counters {
		v.UIDs = b.uids
		return v, nil
	}
	changed, err := rd.Messages(ctx, all.Minus(avoid), b.counters.HighestModSeq)
	withheld, err := apart(err)
	if err != nil {
		return v, err
	}
	var fresh mailbox.UIDSet
	for _, m := range changed {
		v.Messages[m.UID] = m
		if m.UID >= b.counters.UIDNext {
			fresh.Add(m.UID)
		}
	}
	// Every UID that was given out since still exists, and the count says that
	// nothing else went: only then is nothing gone for certain.
	if fresh.Len() == int(now.UIDNext-b.counters.UIDNext) && int(now.Messages) == b.uids.Len()+fresh.Len() {
		v.UIDs = b.uids.Union(fresh)
		return v, withheld.OrNil()
	}
	uids, err := rd.UIDs(ctx)
	if err != nil {
		return v, err
	}
	v.UIDs = uids.Intersect(all)
	v.Forget()
	return v, withheld.OrNil()
}

// apart separates what only says that some messages cannot be read from what ends
// a look.
func apart(err error) (*WithheldError, error) {
	if w, ok := errors.AsType[*WithheldError](err); ok {
		return w, nil
	}
	return nil, err
}

// fetchInto adds the metadata of uids to a view. UIDs that are gone leave the
// view and are returned. The error may be a *WithheldError, as of view.
func fetchInto(ctx context.Context, rd Reader, v *mirror.View, uids mailbox.UIDSet) (gone mailbox.UIDSet, err error) {
	if len(uids) == 0 {
		return nil, nil
	}
	messages, err := rd.Messages(ctx, uids, 0)
	withheld, err := apart(err)
	if err != nil {
		return nil, err
	}
	var found mailbox.UIDSet
	for _, m := range messages {
		found.Add(m.UID)
		v.Messages[m.UID] = m
	}
	gone = uids.Minus(found)
	if withheld != nil {
		gone = gone.Minus(withheld.UIDs)
	}
	v.UIDs = v.UIDs.Minus(gone)
	return gone, withheld.OrNil()
}

// recognise pairs messages that are on both sides without the ledger knowing:
// those of an open intent, those of a lost ledger, those that landed late.
func (f *folderRun) recognise(ctx context.Context) error {
	if err := f.recogniseExactly(ctx); err != nil {
		return err
	}
	if err := f.recogniseAltered(ctx); err != nil {
		return err
	}
	if err := f.recogniseRedated(ctx); err != nil {
		return err
	}
	f.pairInOrder()
	return nil
}

func (f *folderRun) recogniseExactly(ctx context.Context) error {
	s, t, err := f.fingerprints(ctx, f.unpairedSource(), f.unpairedTarget())
	if err != nil {
		return err
	}
	f.match(s, t)
	return nil
}

// fingerprints returns those of the given messages that may be the same, with
// all that is needed to tell.
func (f *folderRun) fingerprints(ctx context.Context, source, target mailbox.UIDSet) (s, t []mirror.Candidate, err error) {
	if len(source) == 0 || len(target) == 0 {
		return nil, nil, nil
	}
	if err := f.fetchSource(ctx, source.Minus(knownUIDs(f.source))); err != nil {
		return nil, nil, err
	}
	if err := f.fetchTarget(ctx, target.Minus(knownUIDs(f.target))); err != nil {
		return nil, nil, err
	}
	s, t = mirror.Shared(candidates(f.source, source), candidates(f.target, target))
	if len(s) == 0 {
		return nil, nil, nil
	}
	if err := f.sourceWithheld(addHeaders(ctx, f.run.source, s)); err != nil {
		return nil, nil, err
	}
	if err := f.targetWithheld(addHeaders(ctx, f.run.target, t)); err != nil {
		return nil, nil, err
	}
	s, t = mirror.Shared(without(s, f.unread), without(t, f.damaged))
	needSource, needTarget := mirror.Unsure(s, t)
	if err := f.sourceWithheld(addBodies(ctx, f.run.source, s, needSource, exact)); err != nil {
		return nil, nil, err
	}
	if err := f.targetWithheld(addBodies(ctx, f.run.target, t, needTarget, exact)); err != nil {
		return nil, nil, err
	}
	return without(s, f.unread), without(t, f.damaged), nil
}

// match pairs what has equal fingerprints.
func (f *folderRun) match(s, t []mirror.Candidate) {
	for _, p := range mirror.Match(s, t) {
		f.pairs.Put(p.Source, p.Target)
		// What arrived under an earlier sync's intent was never read back, and
		// its bytes were not seen by us when they went by. Its partner may be the
		// twin of the message that was given.
		_, given := f.fresh[p.Source]
		if i := f.state.Intent; i != nil && (i.Sources.Contains(p.Source) || p.Target >= i.TargetUIDNext) && !given {
			f.fresh[p.Source] = sent{odd: true, recognised: true}
		}
	}
}

// pairAnew holds every pair of the ledger against the messages themselves and
// forgets those that are none. A message that the target altered cannot be
// recognised; of it the ledger is believed as long as its partner is nobody
// else's.
func (f *folderRun) pairAnew(ctx context.Context) error {
	known := mirror.Live(f.pairs, f.source.UIDs, f.target.UIDs)
	s, t, err := f.fingerprints(ctx, f.source.UIDs.Minus(f.unread), f.target.UIDs.Minus(f.damaged))
	if err != nil {
		return err
	}
	onTarget := make(map[mailbox.UID]mirror.Candidate, len(t))
	for _, c := range t {
		onTarget[c.UID] = c
	}
	f.pairs = mailbox.NewUIDMap(nil)
	akin := map[mailbox.UID]bool{} // the same but for bytes of the body
	for _, c := range s {
		partner, _ := known.Target(c.UID)
		p, ok := onTarget[partner]
		if ok && p.Fingerprint == c.Fingerprint {
			f.pairs.Put(c.UID, partner)
		}
		read := p.Body != [32]byte{} && c.Body != [32]byte{} // neither vanished meanwhile
		p.Body = c.Body
		akin[c.UID] = read && c.Identified && p.Fingerprint == c.Fingerprint
	}
	s = slices.DeleteFunc(s, func(c mirror.Candidate) bool { _, ok := f.pairs.Target(c.UID); return ok })
	t = slices.DeleteFunc(t, func(c mirror.Candidate) bool { _, ok := f.pairs.Source(c.UID); return ok })
	f.match(s, t)
	if err := f.recogniseAltered(ctx); err != nil {
		return err
	}
	altered := f.alteredSources()
	for s, t := range known.All() {
		if _, paired := f.pairs.Target(s); paired || !f.pairs.Put(s, t) {
			continue
		}
		switch {
		case f.unread.Contains(s), f.damaged.Contains(t): // the ledger is all that tells
		case akin[s] && !altered[s]:
			f.altered(s, "bytes")
		case !altered[s]:
			f.pairs.DeleteSource(s)
		}
	}
	f.readAlteredAgain()
	return nil
}

// readAlteredAgain has checkFresh judge anew what the ledger calls altered.
func (f *folderRun) readAlteredAgain() {
	for d := range f.differences {
		if _, paired := f.pairs.Target(d.SourceUID); paired && d.Kind == Altered {
			delete(f.differences, d)
			f.fresh[d.SourceUID] = sent{odd: true}
		}
	}
}

// recogniseRedated pairs what a target that tells no UIDs has just taken and
// given another date: the same bytes among those that arrived since.
func (f *folderRun) recogniseRedated(ctx context.Context) error {
	var given []mailbox.UID
	for _, s := range f.unconfirmed {
		if _, paired := f.pairs.Target(s); !paired {
			given = append(given, s)
		}
	}
	arrived := f.unpairedTarget().From(f.unconfirmedFrom)
	if len(given) == 0 || len(arrived) == 0 {
		return nil
	}
	s, t := candidates(f.source, mailbox.NewUIDSet(given...)), candidates(f.target, arrived)
	for _, list := range [][]mirror.Candidate{s, t} {
		for i := range list {
			list[i].Date = 0
		}
	}
	s, t = mirror.Shared(s, t)
	if err := f.sourceWithheld(addBodies(ctx, f.run.source, s, uidsOf(s), exact)); err != nil {
		return err
	}
	if err := f.targetWithheld(addBodies(ctx, f.run.target, t, uidsOf(t), exact)); err != nil {
		return err
	}
	for _, p := range mirror.Match(readable(s), readable(t)) {
		f.pairs.Put(p.Source, p.Target)
	}
	return nil
}

// pairInOrder pairs what a target that tells no UIDs has altered, so that it
// could not be recognised: as many as are left of those that were accepted, in
// the same order, with the same dates. That a message is altered is likely
// where its bytes are odd, and certain, whatever was made of it, once the target
// has accepted it twice.
func (f *folderRun) pairInOrder() {
	var waiting []mailbox.UID
	for _, s := range f.unconfirmed {
		if _, paired := f.pairs.Target(s); !paired && (f.fresh[s].odd || f.accepted[s] > 1) {
			waiting = append(waiting, s)
		}
	}
	f.unconfirmed = nil
	arrived := f.strays().From(f.unconfirmedFrom).UIDs()
	if len(waiting) != len(arrived) {
		return
	}
	for i, s := range waiting {
		if f.accepted[s] < 2 && !f.source.Messages[s].InternalDate.Equal(f.target.Messages[arrived[i]].InternalDate) {
			return
		}
	}
	for i, s := range waiting {
		f.pairs.Put(s, arrived[i])
		given := f.fresh[s]
		given.odd = true // its bytes are to be compared
		f.fresh[s] = given
	}
}

// singles are the messages of the source without a partner.
func (f *folderRun) singles() mailbox.UIDSet { return f.source.UIDs.Minus(f.pairs.Sources()) }

// strays are the messages of the target without a partner.
func (f *folderRun) strays() mailbox.UIDSet { return f.target.UIDs.Minus(f.pairs.Targets()) }

// unpairedSource are the singles that can be read.
func (f *folderRun) unpairedSource() mailbox.UIDSet { return f.singles().Minus(f.unread) }

// unpairedTarget are the strays that can be read.
func (f *folderRun) unpairedTarget() mailbox.UIDSet { return f.strays().Minus(f.damaged) }

func knownUIDs(v mirror.View) mailbox.UIDSet {
	return mailbox.NewUIDSet(slices.Collect(maps.Keys(v.Messages))...)
}

func candidates(v mirror.View, uids mailbox.UIDSet) []mirror.Candidate {
	out := make([]mirror.Candidate, 0, uids.Len())
	for uid := range uids.All() {
		if m, ok := v.Messages[uid]; ok {
			out = append(out, mirror.NewCandidate(m))
		}
	}
	return out
}

func addHeaders(ctx context.Context, rd Reader, list []mirror.Candidate) error {
	headers, err := rd.Headers(ctx, uidsOf(list))
	withheld, err := apart(err)
	if err != nil {
		return err
	}
	for i := range list {
		h := headers[list[i].UID]
		list[i].Header, list[i].Identified = h.Digest, h.Identified
	}
	return withheld.OrNil()
}

func exact(d bodyDigest) [32]byte { return d.exact }

// addBodies reads messages, and gives those that are read the digest that of takes.
func addBodies(ctx context.Context, rd Reader, list []mirror.Candidate, uids mailbox.UIDSet, of func(bodyDigest) [32]byte) error {
	digests, err := bodyDigests(ctx, rd, uids)
	withheld, err := apart(err)
	if err != nil {
		return err
	}
	for i := range list {
		if d, ok := digests[list[i].UID]; ok {
			list[i].Body = of(d)
		}
	}
	return withheld.OrNil()
}

// without leaves out candidates.
func without(list []mirror.Candidate, uids mailbox.UIDSet) []mirror.Candidate {
	if len(uids) == 0 {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(c mirror.Candidate) bool { return uids.Contains(c.UID) })
}

func uidsOf(list []mirror.Candidate) mailbox.UIDSet {
	uids := make([]mailbox.UID, len(list))
	for i, c := range list {
		uids[i] = c.UID
	}
	return mailbox.NewUIDSet(uids...)
}

func plural(n int, noun string) string {
	s := strconv.Itoa(n) + " " + noun
	if n != 1 {
		s += "s"
	}
	return s
}
