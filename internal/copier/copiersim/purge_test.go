package copiersim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// witness is what the ledger knows of a message of the target.
func (m *message) witness() copier.Witness {
	return copier.Witness{Size: uint32(len(m.content)), Date: uint32(m.date.Unix())}
}

// recorded counts how often the ledger shows that the mirror moved such a message into
// a folder for deleted messages.
func (db *ledger) recorded(in mailbox.FolderName, m *message) (n int) {
	if s := db.folders[in]; s != nil {
		for _, w := range s.Witnesses {
			if w == m.witness() {
				n++
			}
		}
	}
	return n
}

// noted checks that the ledger knew of a message before the mirror moved it into a
// folder for deleted messages.
func (c *session) noted(to mailbox.FolderName, m *message) {
	if w := c.k.w; !w.movesLost && w.ledger.recorded(to, m) == 0 {
		w.violate("%s: %v was moved there, and the ledger does not know", to, m)
	}
}

// purged checks that the mirror put a message into a folder for deleted messages from
// which it removes it.
func (c *session) purged(name mailbox.FolderName, m *message) {
	c.k.w.tell("%s purges %s %d %v", c.k.name, name, m.uid, m)
	if m.byUser {
		c.k.w.violate("%s: message %d %v, which a user of the target put there, was purged", name, m.uid, m)
	}
}

// leaveInKept has a user of the target put one message into each folder for deleted
// messages. It asks for no random number.
func (w *world) leaveInKept() {
	for _, name := range slices.Sorted(maps.Keys(w.target.folders)) {
		if isKept(name) && name != keptIn && w.left(name) == 0 {
			date := w.ownDate()
			w.target.userPut(name, fmt.Sprintf("Message-ID: <left%d>\r\n\r\nleft\r\n", date.Unix()), "", date)
		}
	}
}

// left counts what users of the target put into a folder.
func (w *world) left(name mailbox.FolderName) (n int) {
	for _, m := range w.target.folders[name].messages {
		if m.byUser {
			n++
		}
	}
	return n
}

// purgePhase lets the time of what is kept be over. What users of the target put into
// the folders for deleted messages stays, and what the ledger knows goes.
func (w *world) purgePhase(ctx context.Context, engine *copier.Engine, job copier.Job) {
	if !w.keeps {
		return
	}
	before := map[mailbox.FolderName]int{}
	w.mu.Lock()
	for name := range w.target.folders {
		if isKept(name) && name != keptIn {
			before[name] = w.left(name)
		}
	}
	w.mu.Unlock()
	time.Sleep(49 * time.Hour)
	clear(w.removed)
	known := map[mailbox.FolderName]*copier.FolderState{}
	for name, s := range w.ledger.folders {
		c := *s
		known[name] = &c
	}
	if _, err := w.syncInPeace(ctx, engine, job); err != nil {
		w.violate("sync after the time of what is kept is over: %v", err)
		return
	}
	for name, n := range before {
		f := w.target.folders[name]
		if f == nil {
			if n > 0 {
				w.violate("%s is gone with %d messages that users put there", name, n)
			}
			continue
		}
		if got := w.left(name); got != n {
			w.violate("%s: %d messages of users, want %d", name, got, n)
		}
		for _, m := range f.messages {
			there := 0
			for _, o := range f.messages {
				if o.witness() == m.witness() {
					there++
				}
			}
			if at := (&ledger{folders: known}); !m.byUser && there <= at.recorded(name, m) {
				w.violate("%s: %v was not purged", name, m)
			}
		}
		if s := w.ledger.folders[name]; len(f.messages) > 0 && (s == nil || len(s.Differences) != 1 || s.Differences[0].Kind != copier.NotPurged) {
			w.violate("%s holds %d messages, and the ledger does not say so", name, len(f.messages))
		}
		if len(f.messages) > 0 {
			w.faults["not purged"]++
		}
	}
}

// eachKept visits the folders for deleted messages.
func (s *scene) eachKept(do func(name mailbox.FolderName, f *folder)) {
	for _, name := range slices.Sorted(maps.Keys(s.target.folders)) {
		if isKept(name) && name != keptIn {
			do(name, s.target.folders[name])
		}
	}
}

// purges has the time of what is kept go by, and the next sync leave nothing of it.
func (s *scene) purges() {
	s.Helper()
	time.Sleep(73 * time.Hour)
	s.sync(copier.Equal)
	if s.kept() != 0 {
		s.Errorf("%d are kept after their time", s.kept())
	}
}

// TestPurgeLeavesOthers: what a user of the target put into a folder for deleted
// messages stays when the folder's time is over, and what the mirror put there goes.
// The user's is one lasting difference for each folder, and costs no compare anything.
// Once it is gone, the folder is deleted.
func TestPurgeLeavesOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		feat features
		// meanwhile happens before the time is over.
		meanwhile func(s *scene)
		// stay are the messages that stay beside those of users.
		stay int
	}{
		"by MOVE":      {feat: features{move: true, uidplus: true}},
		"by COPY":      {feat: features{uidplus: true}},
		"CONDSTORE":    {feat: features{move: true, condstore: true, uidplus: true}},
		"keeps levels": {feat: features{move: true, uidplus: true, keepsLevels: true}},
		"the ledger is rebuilt": {feat: features{move: true}, meanwhile: func(s *scene) {
			s.job.Force, s.job.Retry = true, true
			s.sync(copier.Equal)
			s.job.Force, s.job.Retry = false, false
		}},
		"another UIDVALIDITY": {feat: features{move: true, condstore: true}, meanwhile: func(s *scene) {
			s.eachKept(func(_ mailbox.FolderName, f *folder) {
				f.validity += 500
				slices.Reverse(f.messages)
				f.number()
			})
		}},
		"no record, as of an earlier release": {feat: features{move: true}, stay: 5, meanwhile: func(s *scene) {
			s.eachKept(func(name mailbox.FolderName, _ *folder) { delete(s.ledger.folders, name) })
		}},
		"restored with other dates": {feat: features{move: true}, stay: 5, meanwhile: func(s *scene) {
			s.eachKept(func(_ mailbox.FolderName, f *folder) {
				for _, m := range f.messages {
					m.date = m.date.Add(time.Minute)
				}
			})
		}},
		"a message that looks like one of the mirror's": {feat: features{move: true}, stay: 1, meanwhile: func(s *scene) {
			s.eachKept(func(name mailbox.FolderName, _ *folder) {
				if !strings.HasSuffix(string(name), "/Work") {
					s.target.userPut(name, strings.ToUpper(text(2)), "", at(2))
				}
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.target.feat = tt.feat
				s.target.feat.keywords = true
				s.keep()
				s.source.create("Work")
				s.deposit(mailbox.Inbox, many(1, 5)...)
				s.deposit("Work", 10, 11)
				s.sync(copier.Equal)
				s.source.remove(mailbox.Inbox, 2)
				s.source.remove(mailbox.Inbox, 3)
				s.source.drop("Work")
				s.sync(copier.Equal)
				s.source.remove(mailbox.Inbox, 4)
				s.sync(copier.Equal)
				users := 0
				s.eachKept(func(name mailbox.FolderName, _ *folder) {
					users++
					s.target.userPut(name, text(100+users), "", at(100+users))
				})
				if tt.meanwhile != nil {
					tt.meanwhile(s)
				}
				users = 0
				s.eachKept(func(name mailbox.FolderName, _ *folder) { users += s.left(name) })
				time.Sleep(73 * time.Hour)
				if r, unchanged, err := s.engine.Review(s.Context(), s.job, s.states()); unchanged || err != nil || r.Differences != 2 {
					s.Errorf("%d differences, unchanged is %v (%v); want 2 and false", r.Differences, unchanged, err)
				}
				if n := s.kept(); n != users+tt.stay {
					s.Errorf("%d are left, want %d of users and %d others", n, users, tt.stay)
				}
				s.unchanged(tt.feat.condstore)
				s.equal()
				// The daily rebuild changes nothing of that.
				s.job.Force, s.job.Retry = true, true
				if r := s.sync(copier.Differing); r.Differences != 2 || !r.Idle() {
					s.Errorf("the rebuild: %d differences and %+v, want 2 and no work", r.Differences, r.Messages)
				}
				s.job.Force, s.job.Retry = false, false
				s.eachKept(func(_ mailbox.FolderName, f *folder) { f.messages = nil; f.bump() })
				for range 2 { // a folder that others were below takes another compare
					if _, _, err := s.engine.Review(s.Context(), s.job, s.states()); err != nil {
						s.Error(err)
					}
				}
				s.eachKept(func(name mailbox.FolderName, _ *folder) { s.Errorf("%s is empty and still there", name) })
				if r := s.sync(copier.Equal); r.Differences != 0 {
					s.Errorf("%d differences, want none", r.Differences)
				}
				for _, v := range s.violations {
					s.Error(v)
				}
			})
		})
	}
}

// unchanged fails if a compare does not find by the folder lists alone that nothing is
// to be purged.
func (s *scene) unchanged(counters bool) {
	s.Helper()
	before := s.steps
	r, unchanged, err := s.engine.Review(s.Context(), s.job, s.states())
	if err != nil || counters && s.source.feat.condstore && (!unchanged || s.steps-before > 4) {
		s.Errorf("the next compare took %d steps, and unchanged is %v (%v)", s.steps-before, unchanged, err)
	}
	if !r.Idle() {
		s.Errorf("the next compare wrote: %+v", r)
	}
}

// TestPurgeGoneByHand: a user deletes the folder that Mailmirror left. The next compare
// notices, and no difference is left.
func TestPurgeGoneByHand(t *testing.T) {
	play(t, func(s *scene) {
		s.keep()
		s.deposit(mailbox.Inbox, 1, 2)
		s.sync(copier.Equal)
		s.source.remove(mailbox.Inbox, 1)
		s.sync(copier.Equal)
		s.eachKept(func(name mailbox.FolderName, _ *folder) { s.target.userPut(name, text(9), "", at(9)) })
		time.Sleep(73 * time.Hour)
		s.sync(copier.Differing)
		s.unchanged(true)
		s.eachKept(func(name mailbox.FolderName, _ *folder) { s.target.drop(name) })
		if r, unchanged, err := s.engine.Review(s.Context(), s.job, s.states()); unchanged || err != nil || r.Outcome != copier.Equal {
			s.Errorf("ended %s, unchanged is %v (%v)", r.Outcome, unchanged, err)
		}
		s.unchanged(true)
	})
}

// TestPurgeIsRefused: a target that does not delete the folder is one lasting
// difference, and no compare tries again before something changes there.
func TestPurgeIsRefused(t *testing.T) {
	play(t, func(s *scene) {
		s.keep()
		s.deposit(mailbox.Inbox, 1, 2)
		s.sync(copier.Equal)
		s.source.remove(mailbox.Inbox, 1)
		s.sync(copier.Equal)
		time.Sleep(73 * time.Hour)
		s.to.keepsFolders = true
		for range 2 {
			if r := s.sync(copier.Differing); r.Differences != 1 || s.kept() != 0 {
				s.Errorf("%d differences and %d kept, want 1 and none", r.Differences, s.kept())
			}
		}
		s.unchanged(true)
		s.to.keepsFolders = false
		s.job.Force = true
		s.sync(copier.Equal)
		s.eachKept(func(name mailbox.FolderName, _ *folder) { s.Errorf("%s is still there", name) })
	})
}

// TestPurgeAfterTheFolderWasMadeAnew: on one day messages with the same UIDs are
// deleted from two folders of one name. All of them are known as the mirror's.
func TestPurgeAfterTheFolderWasMadeAnew(t *testing.T) {
	play(t, func(s *scene) {
		s.keep()
		for i := range 3 {
			s.source.create("Work")
			s.deposit("Work", 10*i, 10*i+1)
			s.sync(copier.Equal)
			s.source.drop("Work")
			s.sync(copier.Equal)
		}
		if s.kept() != 6 {
			s.Errorf("%d are kept, want 6", s.kept())
		}
		s.purges()
		s.equal()
	})
}

// TestPurgeAfterACut: a sync that was broken off before or after the COPY leaves no
// message that the ledger does not know as the mirror's.
func TestPurgeAfterACut(t *testing.T) {
	for name, trouble := range map[string]func(p *balky) *bool{
		"before": func(p *balky) *bool { return &p.cutBeforeCopy },
		"after":  func(p *balky) *bool { return &p.cutAfterCopy },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.keep()
				s.deposit(mailbox.Inbox, many(1, 5)...)
				s.source.userPut(mailbox.Inbox, text(5), "", at(5)) // a twin
				s.sync(copier.Equal)
				for uid := range mailbox.UID(6) {
					s.source.remove(mailbox.Inbox, uid+1)
				}
				*trouble(s.to) = true
				s.sync(copier.Failed)
				*trouble(s.to) = false
				time.Sleep(fence)
				s.sync(copier.Equal)
				if s.kept() != 6 {
					s.Errorf("%d are kept, want 6", s.kept())
				}
				s.purges()
				s.equal()
			})
		})
	}
}

// TestPurgeOfMany: to purge many messages takes as many commands as to purge few.
func TestPurgeOfMany(t *testing.T) {
	commands := map[int]int{}
	for _, n := range []int{2, 300} {
		play(t, func(s *scene) {
			s.target.feat.move = true
			s.keep()
			s.deposit(mailbox.Inbox, many(1, n)...)
			s.deposit(mailbox.Inbox, 1000)
			s.sync(copier.Equal)
			for uid := range mailbox.UID(n) {
				s.source.remove(mailbox.Inbox, uid+1)
			}
			s.sync(copier.Equal)
			time.Sleep(73 * time.Hour)
			before := s.steps
			s.sync(copier.Equal)
			commands[n] = s.steps - before
			if s.kept() != 0 {
				s.Errorf("%d are kept after their time", s.kept())
			}
		})
	}
	if commands[2] != commands[300] {
		t.Errorf("the sync that purges took %d steps for 2 messages and %d for 300", commands[2], commands[300])
	}
}

// TestPurgeThatFails: a folder for deleted messages that cannot be opened or read
// keeps nothing else from being mirrored, and is reported.
func TestPurgeThatFails(t *testing.T) {
	for name, trouble := range map[string]func(p *balky) *bool{
		"when it is opened":                     func(p *balky) *bool { return &p.cutAtKept },
		"when its messages are listed":          func(p *balky) *bool { return &p.mute },
		"when a NO that may pass is the answer": func(p *balky) *bool { return &p.rejectsKept },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.keep()
				s.deposit(mailbox.Inbox, 1, 2)
				s.sync(copier.Equal)
				s.source.remove(mailbox.Inbox, 1)
				s.sync(copier.Equal)
				time.Sleep(73 * time.Hour)
				*trouble(s.to) = true
				for range 2 {
					if r := s.sync(copier.Differing); r.Differences != 1 || s.kept() != 1 {
						s.Errorf("%d differences and %d kept, want 1 and 1", r.Differences, s.kept())
					}
				}
				*trouble(s.to) = false
				s.job.Force, s.job.Retry = true, true // the daily rebuild
				s.sync(copier.Equal)
				if s.kept() != 0 {
					s.Errorf("%d are kept after their time", s.kept())
				}
			})
		})
	}
}

// TestKeptUnderAnotherName: if the folder for deleted messages gets another name, the
// former one is an ordinary folder that only the target has. If it gets its name back,
// nothing is taken for the mirror's that users put there.
func TestKeptUnderAnotherName(t *testing.T) {
	play(t, func(s *scene) {
		s.keep()
		s.deposit(mailbox.Inbox, 1, 2, 3)
		s.sync(copier.Equal)
		s.source.remove(mailbox.Inbox, 1)
		s.sync(copier.Equal)
		s.eachKept(func(name mailbox.FolderName, _ *folder) { s.target.userPut(name, text(9), "", at(9)) })
		s.job.Keep.Folder = "Elsewhere"
		if r := s.sync(copier.Held); r.Held != 2 {
			s.Errorf("%d are held, want 2", r.Held)
		}
		s.job.Keep.Folder = keptIn
		time.Sleep(73 * time.Hour)
		for _, force := range []bool{false, true} {
			s.job.Force = force
			s.sync(copier.Differing)
			s.eachKept(func(name mailbox.FolderName, _ *folder) {
				if s.left(name) != 1 {
					s.Errorf("%s: what a user put there is gone", name)
				}
			})
		}
		for _, v := range s.violations {
			s.Error(v)
		}
	})
}

// TestMirroredBeforeItWasKept: a folder that was mirrored, and is one for deleted
// messages now, holds nothing that may be purged.
func TestMirroredBeforeItWasKept(t *testing.T) {
	play(t, func(s *scene) {
		day := keptIn + mailbox.FolderName(time.Now().UTC().AddDate(0, 0, -20).Format("/2006-01-02"))
		s.source.create(day)
		s.deposit(day, 1, 2)
		s.deposit(mailbox.Inbox, 3)
		s.sync(copier.Equal)
		s.keep()
		for _, force := range []bool{false, true} {
			s.job.Force = force
			if r := s.sync(copier.Differing); r.Differences != 2 || s.kept() != 2 {
				s.Errorf("%d differences and %d messages, want 2 (the source has such a name, too) and 2", r.Differences, s.kept())
			}
		}
		s.job.Force = false
		s.unchanged(true)
	})
}
