package copiersim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// filter moves all messages of the inbox to another folder, as a Sieve script does.
func (p *balky) filter() {
	if p.files == "" {
		return
	}
	if p.s.folders[p.files] == nil {
		p.s.create(p.files)
	}
	for _, m := range slices.Clone(p.s.folders[mailbox.Inbox].messages) {
		p.s.put(p.files, m.content, m.flags, m.date)
		p.s.remove(mailbox.Inbox, m.uid)
	}
}

// filteredDays lets days go by in which a filter works each evening, or also at once.
// It returns how many messages were copied.
func (s *scene) filteredDays(n int, atOnce bool) (copies int) {
	s.Helper()
	for range n {
		s.to.files = ""
		if atOnce {
			s.to.files = "Filed"
		}
		copies += s.days(1)
		s.to.files = "Filed"
		s.to.filter()
	}
	return copies
}

// days lets days go by with a compare every eight hours. It returns how many messages
// were copied.
func (s *scene) days(n int) (copies int) {
	s.Helper()
	for range 3 * n {
		report, _, err := s.engine.Review(s.Context(), s.job, s.states())
		if err != nil {
			s.Fatal(err)
		}
		copies += report.Messages.Appended
		time.Sleep(8 * time.Hour)
	}
	return copies
}

// lost returns the details of the messages that the target lost from the inbox.
func (s *scene) lost() (details []string) {
	for _, d := range s.ledger.folders[mailbox.Inbox].Differences {
		if d.Kind == copier.Lost {
			details = append(details, d.Detail)
		}
	}
	return details
}

// TestFilterThatMoves: a filter of the target moves each message to another folder. Once
// a message counts as lost, Mailmirror copies it no more while the target has it there,
// and says where. Once the copies are gone and the filter is off, it is copied.
func TestFilterThatMoves(t *testing.T) {
	for name, scenario := range map[string]struct {
		atOnce, excluded, both bool
	}{
		"between syncs":                     {},
		"at once":                           {atOnce: true},
		"to a folder that is not mirrored":  {excluded: true},
		"to a folder that the source has":   {both: true},
		"at once to one of the source's":    {atOnce: true, both: true},
		"at once to one that is left alone": {atOnce: true, excluded: true},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				if scenario.excluded {
					s.job.Exclude = mailbox.Patterns{"Filed"}
				}
				if scenario.both {
					s.source.create("Filed")
					s.deposit("Filed", 50, 51)
				}
				s.deposit(mailbox.Inbox, 1, 1, 2, 3) // with twins
				days := func(n int) int { return s.filteredDays(n, scenario.atOnce) }
				days(7)
				if n, most := s.target.count("Filed", text(2)), map[bool]int{true: 1, false: 2}[scenario.atOnce]; n > most {
					s.Errorf("the target has a message %d times, want %d at most", n, most)
				}
				if got := days(90); got != 0 {
					s.Errorf("%d copies in the last 90 days, want none", got)
				}
				s.deposit(mailbox.Inbox, 4)
				days(2)
				if got := days(90); got != 0 {
					s.Errorf("%d copies because of one new message in the last 90 days, want none", got)
				}
				if n := s.target.total(text(4)); n != 1 {
					s.Errorf("the target has the new message %d times, want once", n)
				}
				details := s.lost()
				for _, d := range details {
					if to, ok := copier.MovedTo(copier.Difference{Kind: copier.Lost, Detail: d}); !ok || to != "Filed" {
						s.Errorf("recorded: %q, want the folder Filed", d)
					}
				}
				if len(details) != 5 {
					s.Errorf("%d lost messages, want 5: %q", len(details), details)
				}
				// Nothing is read again that is known.
				s.to.bodies, s.from.bodies = 0, 0
				days(40)
				if s.to.bodies+s.from.bodies > 0 {
					s.Errorf("%d and %d messages were read again", s.from.bodies, s.to.bodies)
				}
				s.to.files = ""
				for _, m := range slices.Clone(s.target.folders["Filed"].messages) {
					if !strings.Contains(m.content, "<5") {
						s.target.remove("Filed", m.uid)
					}
				}
				if got := s.days(2); got != 5 {
					s.Errorf("%d copied once the copies were gone, want 5", got)
				}
				if scenario.excluded {
					delete(s.target.folders, "Filed")
				}
				s.sync(copier.Equal)
				s.equal()
			})
		})
	}
}

// filed is a scene in which the target has moved a message of the inbox.
func filed(t *testing.T, act func(s *scene)) {
	t.Helper()
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1)
		s.filteredDays(3, false)
		s.to.files = ""
		s.sync(copier.Held)
		if s.target.count("Filed", text(1)) == 0 || len(s.lost()) != 1 {
			s.Fatalf("%v and lost messages %q", s.target.folders["Filed"].messages, s.lost())
		}
		act(s)
	})
}

// TestFiledAndForced: neither a forced sync nor the daily rebuild copies what the target
// has in another folder, also if the folder's UIDs changed. Surplus copies wait for the
// operator, and one copy stays whatever is approved. Moved back, it is mirrored.
func TestFiledAndForced(t *testing.T) {
	filed(t, func(s *scene) {
		for range 3 {
			for _, retry := range []bool{false, true} {
				s.job.Force, s.job.Retry = true, retry
				if r, err := s.engine.Sync(s.Context(), s.job); err != nil || r.Messages.Appended > 0 {
					s.Fatalf("%d copied (%v), want none", r.Messages.Appended, err)
				}
			}
			s.approveAll()
		}
		s.job.Force, s.job.Retry = false, false
		s.sync(copier.Differing)
		if n := s.target.total(text(1)); n != 1 {
			s.Fatalf("the target has %d copies after everything was approved, want one", n)
		}
		s.target.folders[mailbox.Inbox].validity += 100
		s.source.folders[mailbox.Inbox].validity += 100
		if r := s.sync(copier.Differing); r.Messages.Appended > 0 {
			s.Errorf("%d copied under other UIDVALIDITYs, want none", r.Messages.Appended)
		}
		s.target.remove("Filed", s.target.folders["Filed"].messages[0].uid)
		s.target.put(mailbox.Inbox, text(1), "", at(1))
		if r := s.sync(copier.Equal); r.Messages.Appended > 0 {
			s.Errorf("%d copied after the message was moved back, want none", r.Messages.Appended)
		}
		s.equal()
	})
}

// TestFiledAndDeletedOnTheSource: once the source deletes the message, the copies that
// the target moved are held, and go when the operator approves that.
func TestFiledAndDeletedOnTheSource(t *testing.T) {
	filed(t, func(s *scene) {
		n := s.target.count("Filed", text(1))
		s.source.remove(mailbox.Inbox, 1)
		for range 2 {
			if r := s.sync(copier.Held); r.Held != n || s.target.count("Filed", text(1)) != n {
				s.Fatalf("%d held, want %d", r.Held, n)
			}
		}
		s.approveAll()
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestFiledAndMovedOnTheSource: the source moves the message to the same folder. The
// copy that the target moved is its copy there.
func TestFiledAndMovedOnTheSource(t *testing.T) {
	filed(t, func(s *scene) {
		s.source.remove(mailbox.Inbox, 1)
		s.source.create("Filed")
		s.deposit("Filed", 1)
		if r := s.sync(copier.Held); r.Messages.Appended > 0 {
			s.Errorf("%d copied, want none", r.Messages.Appended)
		}
		s.approveAll()
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestLostWithATwinElsewhere: a message of another folder that the source has there, too,
// is no copy of a lost one.
func TestLostWithATwinElsewhere(t *testing.T) {
	play(t, func(s *scene) {
		s.source.create("Work")
		s.deposit("Work", 1)
		s.deposit(mailbox.Inbox, 1)
		for i := range 6 {
			s.days(1)
			if f := s.target.folders[mailbox.Inbox]; i < 3 && len(f.messages) > 0 {
				s.target.remove(mailbox.Inbox, f.messages[0].uid)
			}
		}
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestLostFromTwoFolders: one copy elsewhere stands for one of two lost messages.
func TestLostFromTwoFolders(t *testing.T) {
	play(t, func(s *scene) {
		names := []mailbox.FolderName{mailbox.Inbox, "Work"}
		s.source.create("Work")
		for _, name := range names {
			s.deposit(name, 1)
		}
		s.sync(copier.Equal)
		for range 3 {
			for _, name := range names {
				if f := s.target.folders[name]; len(f.messages) > 0 {
					s.target.remove(name, f.messages[0].uid)
				}
			}
			s.days(0)
			_, _ = s.engine.Sync(s.Context(), s.job)
		}
		s.target.create("Filed")
		s.target.put("Filed", text(1), "", at(1))
		if got := s.days(40); got != 1 {
			s.Errorf("%d copied, want one of two", got)
		}
		if n := s.target.total(text(1)); n != 2 {
			s.Errorf("the target has %d copies, want 2: %s", n, fmt.Sprint(s.target.folders))
		}
	})
}

// TestFilterOnAWholeMailbox: beside the copying, each message is read once on the source
// and each copy once on the target, whatever else the target has, and nothing after that.
func TestFilterOnAWholeMailbox(t *testing.T) {
	play(t, func(s *scene) {
		const n = 400
		s.source.create("Work")
		s.deposit("Work", many(1000, n)...)
		s.deposit(mailbox.Inbox, many(1, n)...)
		for _, i := range many(500, n) {
			s.target.put(mailbox.Inbox, text(i), "", at(i)) // what users of the target left
		}
		s.filteredDays(1, true)
		if len(s.lost()) != n {
			s.Errorf("%d lost messages, want %d", len(s.lost()), n)
		}
		if s.from.bodies > 3*n || s.to.bodies > n {
			s.Errorf("%d and %d messages were read, want %d and %d", s.from.bodies, s.to.bodies, 3*n, n)
		}
		s.from.bodies, s.to.bodies = 0, 0
		if copies := s.filteredDays(3, true); copies+s.from.bodies+s.to.bodies > 0 {
			s.Errorf("later %d were copied, %d and %d read, want none", copies, s.from.bodies, s.to.bodies)
		}
	})
}

// TestFilterThatCopies: a filter of the target copies each message to another folder.
// Nothing is lost by that, and nothing copied again: the filter's copies are held.
func TestFilterThatCopies(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1, 2)
		s.sync(copier.Equal)
		s.target.create("Filed")
		for _, m := range s.target.folders[mailbox.Inbox].messages {
			s.target.put("Filed", m.content, m.flags, m.date)
		}
		if n := s.days(60); n > 0 {
			s.Errorf("%d copied, want none", n)
		}
		if r := s.sync(copier.Held); r.Held != 2 || r.Differences != 0 {
			s.Errorf("%d held and %d differences, want 2 and none", r.Held, r.Differences)
		}
		s.approveAll()
		s.sync(copier.Equal)
		s.equal()
	})
}
