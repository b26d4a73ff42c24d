package copiersim

import (
	"context"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

func (s *balkySession) DeleteFolder(ctx context.Context, name mailbox.FolderName) error {
	if s.p.keepsFolders {
		return fault.Newf(fault.Permanent, "no right to delete")
	}
	err := s.Session.DeleteFolder(ctx, name)
	if err == nil && s.p.creates {
		s.p.s.create(name)
	}
	return err
}

func (s *balkySession) Subscribe(ctx context.Context, on bool, names ...mailbox.FolderName) ([]mailbox.FolderName, error) {
	refused, err := s.Session.Subscribe(ctx, on, names...)
	for _, name := range names {
		if f := s.p.s.folders[name]; f != nil && s.p.subscribes {
			f.subscribed = true
		}
	}
	return refused, err
}

// Select expires messages as a server does that looks at what is too much when
// somebody opens a folder.
func (s *balkySession) Select(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, mailbox.Permanent, error) {
	s.p.expire()
	s.p.filter()
	if s.p.cutAtKept && isKept(name) {
		_ = s.Close()
		return mailbox.Counters{}, mailbox.Permanent{}, errCut
	}
	if s.p.rejectsKept && isKept(name) {
		return mailbox.Counters{}, mailbox.Permanent{}, &fault.Error{Kind: fault.Transient, Op: "server bug", Rejected: true}
	}
	return s.Session.Select(ctx, name)
}

// expire deletes the oldest messages of the inbox.
func (p *balky) expire() {
	f := p.s.folders[mailbox.Inbox]
	for p.expires > 0 && len(f.messages) > p.expires {
		p.s.remove(mailbox.Inbox, f.messages[0].uid)
	}
}

// TestTargetThatExpires: messages that the target loses by itself are copied a few
// times, and then reported and left alone, until a day has gone by.
func TestTargetThatExpires(t *testing.T) {
	for name, between := range map[string]bool{"between syncs": true, "while it is looked at": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.deposit(mailbox.Inbox, many(1, 12)...)
				copies, quiet := 0, 0
				compare := func() copier.Report {
					if between {
						s.to.expires = 5
						s.to.expire()
						s.to.expires = 0
					}
					report, unchanged, err := s.engine.Review(s.Context(), s.job, s.states())
					copies += report.Messages.Appended
					if unchanged || (err == nil && report.Idle()) {
						quiet++
					} else {
						quiet = 0
					}
					time.Sleep(time.Hour)
					return report
				}
				if !between {
					s.to.expires = 5
				}
				for range 12 {
					compare()
				}
				if copies > 4*12 || quiet < 5 {
					s.Errorf("%d copies, and the last %d compares copied nothing", copies, quiet)
				}
				if r := compare(); r.Outcome != copier.Differing || r.Differences != 7 {
					s.Errorf("ended %s with %d differences, want 7 lost messages", r.Outcome, r.Differences)
				}
				// A new message costs no new round over all of them.
				copies = 0
				s.deposit(mailbox.Inbox, 100)
				for range 4 {
					compare()
				}
				if copies > 2 {
					s.Errorf("%d copies because of one new message", copies)
				}
				// After a day they are tried again, and once the target keeps them
				// nothing is left to tell.
				s.to.expires, between = 0, false
				time.Sleep(25 * time.Hour)
				compare()
				if r := compare(); r.Outcome != copier.Equal {
					s.Errorf("ended %s once the target kept its messages", r.Outcome)
				}
				s.equal()
			})
		})
	}
}

// TestDeletedOnceIsCopiedAgain: a message that a user of the target deletes comes
// back, and twice within a week as well.
func TestDeletedOnceIsCopiedAgain(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1, 2, 3)
		s.sync(copier.Equal)
		for i := range 8 {
			f := s.target.folders[mailbox.Inbox]
			s.target.remove(mailbox.Inbox, f.messages[0].uid)
			if r := s.sync(copier.Equal); r.Messages.Appended != 1 {
				s.Errorf("deletion %d: %d copied, want 1", i, r.Messages.Appended)
			}
			if i%2 == 1 {
				time.Sleep(8 * 24 * time.Hour)
			}
		}
		s.equal()
	})
}

// TestLossesByTheOperator: whoever put the target right asks for a sync, which
// copies at once what the target had lost too often.
func TestLossesByTheOperator(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1)
		s.sync(copier.Equal)
		for range 2 {
			s.target.remove(mailbox.Inbox, s.target.folders[mailbox.Inbox].messages[0].uid)
			s.sync(copier.Equal)
		}
		s.target.remove(mailbox.Inbox, s.target.folders[mailbox.Inbox].messages[0].uid)
		s.sync(copier.Differing)
		s.job.Force, s.job.Retry = true, true // the daily rebuild
		s.sync(copier.Differing)
		s.job.Retry = false
		if r := s.sync(copier.Equal); r.Messages.Appended != 1 {
			s.Errorf("%d copied, want 1", r.Messages.Appended)
		}
		s.equal()
	})
}

// TestTargetThatCreatesFolders: a folder that the target creates by itself is reported
// once and left alone.
func TestTargetThatCreatesFolders(t *testing.T) {
	for name, atOnce := range map[string]bool{"at once": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.to.creates = atOnce
				s.deposit(mailbox.Inbox, 1)
				deletions, last := 0, copier.Report{}
				for range 12 {
					if s.target.folders["Trash"] == nil {
						s.target.create("Trash")
					}
					report, unchanged, err := s.engine.Review(s.Context(), s.job, s.states())
					if err != nil {
						s.Fatal(err)
					}
					deletions += report.Folders.Deleted
					if last = report; !unchanged {
						time.Sleep(time.Minute)
					}
				}
				if deletions > 2 || last.Outcome != copier.Differing || last.Differences != 1 {
					s.Errorf("%d deletions, and the last compare ended %s with %d differences", deletions, last.Outcome, last.Differences)
				}
				// What somebody leaves there is held all the same.
				s.target.userPut("Trash", text(9), "", at(9))
				if r := s.sync(copier.Held); r.Held != 1 {
					s.Errorf("%d messages are held, want 1", r.Held)
				}
				s.approveAll()
				s.sync(map[bool]copier.Outcome{true: copier.Differing, false: copier.Equal}[atOnce])
				// The source may get the folder, too.
				s.source.create("Trash")
				s.to.creates = false
				s.sync(copier.Equal)
				s.equal()
			})
		})
	}
}

// TestFolderMadeOnce: an empty folder that only the target has is deleted, and is
// remembered for a week.
func TestFolderMadeOnce(t *testing.T) {
	play(t, func(s *scene) {
		s.target.create("Mine")
		if r := s.sync(copier.Equal); r.Folders.Deleted != 1 {
			s.Errorf("%+v, want one folder deleted", r.Folders)
		}
		s.equal()
		time.Sleep(8 * 24 * time.Hour)
		s.deposit(mailbox.Inbox, 1)
		s.sync(copier.Equal)
		if s.ledger.folders["Mine"] != nil {
			s.Error("the ledger remembers a folder that is gone for long")
		}
	})
}

func (s *balkySession) SetFlags(ctx context.Context, uids mailbox.UIDSet, flags mailbox.Flags) error {
	if s.p.ignoresFlags {
		s.p.stores++
		return nil
	}
	return s.Session.SetFlags(ctx, uids, flags)
}

// TestFlagsThatAreNotKept: what the target takes and does not keep is reported, and
// tried again on another day or when the source changes it.
func TestFlagsThatAreNotKept(t *testing.T) {
	for name, condstore := range map[string]bool{"with CONDSTORE": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.source.feat.condstore, s.target.feat.condstore = condstore, condstore
				s.deposit(mailbox.Inbox, 1, 2)
				s.sync(copier.Equal)
				s.mark(1)
				s.to.ignoresFlags = true
				for range 5 {
					if r := s.sync(copier.Differing); r.Differences != 1 {
						s.Errorf("%d differences, want 1", r.Differences)
					}
				}
				if s.to.stores != 2 {
					s.Errorf("the flags were stored %d times, want twice", s.to.stores)
				}
				s.to.ignoresFlags = false
				s.mark(2) // another message of the folder
				s.sync(copier.Differing)
				time.Sleep(24 * time.Hour)
				s.job.Force = true
				s.sync(copier.Equal)
				s.equal()
			})
		})
	}
}

// TestSubscriptionThatComesBack is reported once and left alone, until the source
// has it, too.
func TestSubscriptionThatComesBack(t *testing.T) {
	play(t, func(s *scene) {
		s.to.subscribes = true
		s.source.create("Work")
		s.sync(copier.Equal)
		s.target.folders["Work"].subscribed = true
		tries := 0
		for range 6 {
			report, _, err := s.engine.Review(s.Context(), s.job, s.states())
			if err != nil || report.Outcome != copier.Differing {
				s.Fatalf("ended %s: %v", report.Outcome, err)
			}
			tries += report.Folders.Subscribed
			s.deposit("Work", 1) // what is due in the folder does not forget it
		}
		if tries != 1 {
			s.Errorf("the subscription was changed %d times, want once", tries)
		}
		s.source.folders["Work"].subscribed = true
		if report, _, err := s.engine.Review(s.Context(), s.job, s.states()); err != nil || report.Outcome != copier.Equal {
			s.Errorf("ended %s (%v), want equal", report.Outcome, err)
		}
		s.equal()
	})
}
