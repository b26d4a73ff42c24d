package copiersim

import (
	"maps"
	"slices"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// backUp returns what puts the store's mailbox back to what it is now, as the
// restoration of its files does: UIDs, counters and mod-sequences are those of now.
func (s *store) backUp() (restore func()) {
	copied := func(from map[mailbox.FolderName]*folder) map[mailbox.FolderName]*folder {
		out := map[mailbox.FolderName]*folder{}
		for name, f := range from {
			c := *f
			c.messages = nil
			for _, m := range f.messages {
				one := *m
				c.messages = append(c.messages, &one)
			}
			out[name] = &c
		}
		return out
	}
	saved, removed := copied(s.folders), maps.Clone(s.w.removed)
	return func() {
		for _, folders := range []map[mailbox.FolderName]*folder{s.folders, saved} {
			for name, f := range folders {
				for _, m := range f.messages {
					s.touch(name, m.content)
				}
			}
		}
		for _, f := range saved {
			s.w.ledger.forgetFrom(f.validity, f.next) // given out again, a UID is another message
		}
		s.folders, s.w.removed = copied(saved), maps.Clone(removed)
	}
}

// ownDate is a date that no other message has: a size is no proof of a message, and
// few dates would be none.
func (w *world) ownDate() time.Time {
	w.dates++
	return time.Unix(1600000000+10000*int64(w.dates), 0)
}

// restoration backs the target up, or restores it from that while no worker syncs.
// Its users then leave messages that have UIDs of messages that the backup lacks, and
// the source deletes some of its youngest messages. The caller holds the world's lock.
func (w *world) restoration() {
	if w.restore == nil {
		w.tell("the target is backed up")
		w.restore = w.target.backUp()
		return
	}
	if !w.ledger.lease.Clean {
		return
	}
	w.faults["restored"]++
	w.restored = true
	w.forgets++
	w.movesLost = true
	before := map[uint32]folder{} // by UIDVALIDITY
	for _, f := range w.target.folders {
		before[f.validity] = *f
	}
	w.restore()
	w.restore = nil
	w.tell("the target is restored")
	for _, name := range slices.Sorted(maps.Keys(w.target.folders)) {
		f := w.target.folders[name]
		lost := int(before[f.validity].next) - int(f.next)
		if isKept(name) || lost <= 0 {
			continue
		}
		for range w.rng.IntN(lost + 2) {
			content, date := w.content()
			w.target.userPut(name, content, w.flags(), date)
		}
		if w.chance(50) { // what else was done there leaves no counter lower
			f.modseq = max(f.modseq, before[f.validity].modseq)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.source.folders)) {
		f := w.source.folders[name]
		for range min(len(f.messages), w.rng.IntN(4)) {
			m := f.messages[len(f.messages)-1]
			w.tell("user on source: deletes %s %d", name, m.uid)
			w.source.remove(name, m.uid)
			w.source.touch(name, m.content)
		}
	}
}

// TestRestoredTargetThenSourceDeletes: the target came back from a backup, its users
// left messages that have the UIDs of messages that the backup lacked, and the source
// deletes those messages. What the users left is held, whatever was known of the folder.
func TestRestoredTargetThenSourceDeletes(t *testing.T) {
	for name, tt := range map[string]struct {
		feat   features
		folder mailbox.FolderName
		// meanwhile happens after the users left their messages, and the source
		// deletes the messages of these UIDs.
		meanwhile func(s *scene)
		force     bool
		gone      bool // the source deletes the folder
		expunged  int
	}{
		"":                     {feat: features{condstore: true, uidplus: true, keywords: true}},
		"without CONDSTORE":    {feat: features{uidplus: true, keywords: true}},
		"without UIDPLUS":      {feat: features{condstore: true, keywords: true}},
		"forced":               {feat: features{condstore: true, uidplus: true, keywords: true}, force: true},
		"the folder goes, too": {feat: features{condstore: true, uidplus: true, keywords: true}, folder: "Work", gone: true},
		"beside an everyday deletion": {feat: features{condstore: true, uidplus: true, keywords: true}, expunged: 1, meanwhile: func(s *scene) {
			s.source.remove(mailbox.Inbox, 2)
		}},
		"the source makes the folder anew": {feat: features{condstore: true, uidplus: true, keywords: true}, meanwhile: func(s *scene) {
			f := s.source.folders[mailbox.Inbox]
			f.validity += 100
		}},
		"the ledger is of an earlier release": {feat: features{condstore: true, uidplus: true, keywords: true}, meanwhile: func(s *scene) {
			f := s.ledger.folders[mailbox.Inbox]
			f.Witnesses, f.TargetAt = nil, mailbox.Counters{UIDNext: f.TargetAt.UIDNext}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.target.feat = tt.feat
				in := tt.folder
				if in == "" {
					in = mailbox.Inbox
				} else {
					s.source.create(in)
				}
				s.deposit(in, 1, 2, 3, 4, 5)
				s.sync(copier.Equal)
				restore := s.target.backUp()
				s.deposit(in, 6, 7)
				s.sync(copier.Equal)
				restore()
				for _, i := range []int{20, 21} {
					s.target.userPut(in, text(i), "", at(i))
				}
				f := s.target.folders[in]
				if f.next != 8 || len(f.messages) != 7 {
					t.Fatalf("UIDNEXT %d and %d messages: no UID was given out again", f.next, len(f.messages))
				}
				f.modseq += 20 // no counter went back
				if tt.meanwhile != nil {
					tt.meanwhile(s)
				}
				if tt.gone {
					s.source.drop(in)
				} else {
					s.source.remove(in, 6)
					s.source.remove(in, 7)
				}
				s.job.Force = tt.force
				for i := range 3 {
					r := s.sync(copier.Held)
					if r.Held != 2 || r.Messages.Appended != 0 {
						s.Errorf("sync %d: %d are held and %d copied, want 2 and none", i, r.Held, r.Messages.Appended)
					}
					if i == 0 && r.Messages.Expunged != tt.expunged && !tt.gone {
						s.Errorf("%d were deleted, want %d", r.Messages.Expunged, tt.expunged)
					}
				}
				for _, v := range s.violations {
					s.Error(v)
				}
			})
		})
	}
}

// TestApprovedIsNotAnother: the operator approves what is held, the target comes back
// from a backup, and its users leave other messages that have the same UIDs. The
// approval is not about those.
func TestApprovedIsNotAnother(t *testing.T) {
	for name, decide := range map[string]func(s *scene){
		"approved": func(s *scene) { s.approveAll() },
		"refused": func(s *scene) {
			h := s.ledger.holds[mailbox.Inbox]
			h.refused, h.waiting = h.waiting, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.deposit(mailbox.Inbox, 1, 2, 3)
				s.sync(copier.Equal)
				restore := s.target.backUp()
				s.target.userPut(mailbox.Inbox, text(20), "", at(20))
				if r := s.sync(copier.Held); r.Held != 1 {
					s.Errorf("%d are held, want 1", r.Held)
				}
				decide(s)
				restore()
				s.target.userPut(mailbox.Inbox, text(21), "", at(21))
				if r := s.sync(copier.Held); r.Held != 1 || r.Kept != 0 {
					s.Errorf("%d are held and %d kept, want 1 and none", r.Held, r.Kept)
				}
				for _, v := range s.violations {
					s.Error(v)
				}
			})
		})
	}
}

// TestFlagsOfAnother: the source changes the flags of a message whose copy the backup
// of the target lacked. A message of the target's users that has its UID now keeps its
// flags, and the message is copied again.
func TestFlagsOfAnother(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, many(1, 20)...)
		s.sync(copier.Equal)
		f := s.target.folders[mailbox.Inbox]
		f.messages[4].content, f.messages[4].date, f.messages[4].byUser = text(100), at(100), true
		m := s.source.folders[mailbox.Inbox].messages[4]
		m.flags, m.modseq = `\Seen`, s.source.folders[mailbox.Inbox].bump()
		if r := s.sync(copier.Held); r.Held != 1 || r.Messages.Appended != 1 || f.messages[4].flags != "" {
			s.Errorf("%d are held, %d were copied, and the flags are %q; want 1, 1 and none", r.Held, r.Messages.Appended, f.messages[4].flags)
		}
	})
}

// TestEverydayDeletionIsNotHeld: what the mirror put on the target goes with the
// source's message, however it was stored, and also if a sync deletes what it copied.
func TestEverydayDeletionIsNotHeld(t *testing.T) {
	for name, feat := range map[string]features{
		"":                  {condstore: true, uidplus: true, keywords: true},
		"without UIDPLUS":   {condstore: true, keywords: true},
		"without CONDSTORE": {uidplus: true, keywords: true},
		"altering":          {condstore: true, uidplus: true, keywords: true, altersNUL: true, redates: true},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.job.Limits = mirror.Limits{}
				s.target.feat = feat
				s.source.create("Work")
				for _, folder := range []mailbox.FolderName{mailbox.Inbox, "Work"} {
					s.deposit(folder, 1, 2, 3, 4, 5)
					s.source.userPut(folder, "Message-ID: <n>\r\n\r\nzero \x00 one\r\n", "", time.Unix(1700000003, 0))
				}
				if _, err := s.engine.Sync(s.Context(), s.job); err != nil {
					s.Fatal(err)
				}
				s.source.remove(mailbox.Inbox, 2)
				s.source.remove(mailbox.Inbox, 6)
				s.source.rename("Work", "Work2")
				if r, err := s.engine.Sync(s.Context(), s.job); err != nil || r.Held != 0 || r.Messages.Expunged < 2 {
					s.Errorf("%d are held and %d were deleted (%v), want none and 2", r.Held, r.Messages.Expunged, err)
				}
				s.source.drop("Work2")
				if r, err := s.engine.Sync(s.Context(), s.job); err != nil || r.Held != 0 || r.Folders.Deleted != 1 {
					s.Errorf("%d are held and %d folders deleted (%v), want none and 1", r.Held, r.Folders.Deleted, err)
				}
			})
		})
	}
}

// TestRestoredBesideAHold: a store comes back from a backup while something of the
// folder is held. Its lower UIDNEXT is noticed: what production lost is asked about,
// and what the target lost is copied again.
func TestRestoredBesideAHold(t *testing.T) {
	for name, source := range map[string]bool{"source": true, "target": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.guard()
				s.deposit(mailbox.Inbox, 1, 2, 3, 4, 5)
				s.target.userPut(mailbox.Inbox, text(20), "", at(20))
				s.sync(copier.Held)
				side := s.target
				if source {
					side = s.source
				}
				restore := side.backUp()
				s.deposit(mailbox.Inbox, 6, 7)
				if r := s.sync(copier.Held); r.Messages.Appended != 2 {
					s.Errorf("%d copied, want 2", r.Messages.Appended)
				}
				restore()
				r := s.sync(copier.Held)
				if source && (r.Held != 3 || r.Messages.Expunged != 0) {
					s.Errorf("%d are held and %d were deleted, want 3 and none", r.Held, r.Messages.Expunged)
				}
				if !source && (r.Held != 1 || r.Messages.Appended != 2) {
					s.Errorf("%d are held and %d were copied, want 1 and 2", r.Held, r.Messages.Appended)
				}
				for _, v := range s.violations {
					s.Error(v)
				}
			})
		})
	}
}

// TestRestoredSourceForgetsDifferences: the source gives the UID of a message that the
// target refused to another message. That one is copied.
func TestRestoredSourceForgetsDifferences(t *testing.T) {
	play(t, func(s *scene) {
		s.target.feat.refusesPoison = true
		s.deposit(mailbox.Inbox, many(1, 4)...)
		restore := s.source.backUp()
		s.source.userPut(mailbox.Inbox, "Message-ID: <p>\r\n\r\npoison", "", at(5))
		s.deposit(mailbox.Inbox, many(6, 3)...)
		s.sync(copier.Differing)
		restore()
		s.deposit(mailbox.Inbox, many(30, 9)...)
		s.source.folders[mailbox.Inbox].modseq += 20 // no counter went back
		if r := s.sync(copier.Held); r.Messages.Appended != 9 || r.Held != 3 {
			s.Errorf("%d were copied and %d are held, want 9 and 3", r.Messages.Appended, r.Held)
		}
		s.approveAll()
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestUpgradeFillsWitnesses: the first compare after an upgrade looks at every message
// once, also of mailboxes in which nothing changed. From then on nothing of what the
// mirror put on the target is held, and an unchanged mailbox is not looked at.
func TestUpgradeFillsWitnesses(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, many(1, 12)...)
		s.sync(copier.Equal)
		f := s.ledger.folders[mailbox.Inbox]
		f.Witnesses, f.TargetAt = nil, mailbox.Counters{UIDNext: f.TargetAt.UIDNext}
		r, unchanged, err := s.engine.Review(s.Context(), s.job, s.states())
		if n := len(s.ledger.folders[mailbox.Inbox].Witnesses); err != nil || unchanged || !r.Idle() || n != 12 {
			s.Errorf("the first compare: %d witnesses, unchanged is %v, %+v, %v; want 12 and no work", n, unchanged, r, err)
		}
		if _, unchanged, err := s.engine.Review(s.Context(), s.job, s.states()); err != nil || !unchanged {
			s.Errorf("the second compare looked at the mailbox (%v)", err)
		}
		s.source.remove(mailbox.Inbox, 3)
		if r := s.sync(copier.Equal); r.Messages.Expunged != 1 {
			s.Errorf("%d deleted, want 1", r.Messages.Expunged)
		}
		s.equal()
	})
}
