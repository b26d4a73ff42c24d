package copiersim

import (
	"context"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// TestRenamedOverALostFolder: the target lost a folder, and another one gets its
// name. What the ledger knew of the lost one says nothing about the messages of the
// other.
func TestRenamedOverALostFolder(t *testing.T) {
	play(t, func(s *scene) {
		s.source.create("Work")
		s.source.create("Archive")
		s.deposit("Work", 1, 2, 3)
		s.deposit("Archive", 10, 11)
		s.sync(copier.Equal)
		s.source.drop("Work")
		s.target.drop("Work")
		s.source.rename("Archive", "Work")
		s.target.userPut("Archive", text(20), "", at(20))
		if r := s.sync(copier.Held); r.Held != 1 || r.Folders.Renamed != 1 {
			s.Errorf("%d are held and %d folders renamed, want 1 and 1", r.Held, r.Folders.Renamed)
		}
		s.source.remove("Work", 1) // of what the mirror put there nobody is asked
		if r := s.sync(copier.Held); r.Held != 1 || r.Messages.Expunged != 1 {
			s.Errorf("%d are held and %d expunged, want 1 and 1", r.Held, r.Messages.Expunged)
		}
		for _, v := range s.violations {
			s.Error(v)
		}
	})
}

// TestFolderMadeAnewThatStays: the target's users put a folder in the place of one
// that the source does not have any more, and the target does not let it go. What the
// ledger knew of the former one says nothing about its messages.
func TestFolderMadeAnewThatStays(t *testing.T) {
	for name, anew := range map[string]func(s *scene){
		"with another UIDVALIDITY": func(s *scene) {
			s.target.drop("Work")
			s.target.create("Work")
		},
		"with lower counters": func(s *scene) {
			f := s.target.folders["Work"]
			f.messages, f.next, f.modseq = nil, 1, 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.source.create("Work")
				s.deposit("Work", 1, 2, 3)
				s.sync(copier.Equal)
				s.source.drop("Work")
				anew(s)
				s.target.userPut("Work", text(20), "", at(20))
				s.sync(copier.Held)
				s.approveAll()
				s.to.keepsFolders = true
				s.sync(copier.Differing)
				s.target.userPut("Work", text(21), "", at(21))
				if r := s.sync(copier.Held); r.Held != 1 {
					s.Errorf("%d are held, want 1", r.Held)
				}
				for _, v := range s.violations {
					s.Error(v)
				}
			})
		})
	}
}

// TestTargetRestoredFromBackup: the target gives out again the UIDs of messages that
// the backup lacked, to messages of its users. No sync takes them for the mirror's,
// a forced one neither.
func TestTargetRestoredFromBackup(t *testing.T) {
	for name, force := range map[string]bool{"forced": true, "not forced": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.deposit(mailbox.Inbox, 1, 2, 3, 4, 5)
				s.sync(copier.Equal)
				f := s.target.folders[mailbox.Inbox]
				f.messages, f.next = f.messages[:3], 4
				for _, i := range []int{20, 21, 22} {
					s.target.userPut(mailbox.Inbox, text(i), "", at(i))
				}
				s.source.remove(mailbox.Inbox, 4)
				s.job.Force = force
				if r := s.sync(copier.Held); r.Held != 3 || r.Messages.Appended != 1 {
					s.Errorf("%d are held and %d copied, want 3 and 1", r.Held, r.Messages.Appended)
				}
				for _, v := range s.violations {
					s.Error(v)
				}
			})
		})
	}
}

// once is a store that loses the connection when it is asked about a message that
// says so, and does not know the mailbox any more after that.
type once struct {
	frail
	opened bool
}

func (p *once) Open(ctx context.Context, n mailbox.Number) (copier.Session, error) {
	if p.opened {
		return nil, fault.Newf(fault.Permanent, "no such mailbox")
	}
	p.opened = true
	return p.frail.Open(ctx, n)
}

// TestMailboxGoneWhenConnectedAgain: a mailbox that a store does not have any more
// when the connection is opened again ends the sync.
func TestMailboxGoneWhenConnectedAgain(t *testing.T) {
	for name, put := range map[string]func(s *scene){
		"source": func(s *scene) {
			s.job.Source = &once{frail: frail{Store: s.job.Source, s: s.source, breaks: true}}
		},
		"target": func(s *scene) {
			s.job.Target = &once{frail: frail{Store: s.job.Target, s: s.target, breaks: true}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.source.create("Work")
				s.deposit("Work", 1)
				for _, side := range []*store{s.source, s.target} {
					side.userPut(mailbox.Inbox, "damaged "+text(2), "", at(2))
				}
				put(s)
				if r := s.sync(copier.Failed); !strings.Contains(r.Err, "no such mailbox") {
					s.Errorf("the sync failed with %q", r.Err)
				}
			})
		})
	}
}

// TestReadBackOnceItCanBe: a message that the target altered and that could not be
// read back when it was copied is read back once it can be.
func TestReadBackOnceItCanBe(t *testing.T) {
	play(t, func(s *scene) {
		s.target.feat.altersNUL = true
		s.source.userPut(mailbox.Inbox, "Message-ID: <n>\r\n\r\ndamaged \x00\r\n", "", at(1))
		s.deposit(mailbox.Inbox, 2)
		s.to.damaged = true
		s.sync(copier.Differing)
		s.sync(copier.Differing)
		s.to.damaged = false
		s.job.Retry = true
		s.sync(copier.Differing)
		d := s.ledger.folders[mailbox.Inbox].Differences
		if len(d) != 1 || d[0].Kind != copier.Altered || d[0].SourceUID != 1 {
			s.Errorf("recorded: %+v", d)
		}
	})
}
