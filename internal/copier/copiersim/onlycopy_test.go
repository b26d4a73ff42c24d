package copiersim

import (
	"context"
	"fmt"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// TestMovedToWhereItIsRejected: a message is moved to a folder in which the target
// rejects it. The target's copy in the former folder stays until the other is mirrored.
func TestMovedToWhereItIsRejected(t *testing.T) {
	const poison = "Message-ID: <p>\r\n\r\npoison"
	for name, leave := range map[string]func(s *scene){
		"from a folder that stays": func(s *scene) { s.source.remove("Old", 1) },
		"from a folder that went":  func(s *scene) { s.source.drop("Old") },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.source.create("Old")
				s.source.create("Work")
				s.source.userPut("Old", poison, "", at(1))
				s.deposit("Old", 2)
				s.sync(copier.Equal)
				leave(s)
				s.source.userPut("Work", poison, "", at(1))
				s.deposit("Work", 3, 4)
				s.target.feat.refusesPoison = true
				for range 3 {
					if s.sync(copier.Differing); s.target.count("Old", poison) != 1 {
						s.Fatal("the target has no copy any more of a message that the source has")
					}
				}
				s.target.feat.refusesPoison, s.job.Retry = false, true
				s.sync(copier.Equal)
				s.equal()
			})
		})
	}
}

// TestMovedToAFolderThatIsRejected: the same if the target rejects the whole folder.
func TestMovedToAFolderThatIsRejected(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1, 2)
		s.sync(copier.Equal)
		s.source.create("Work")
		s.source.remove(mailbox.Inbox, 1)
		s.deposit("Work", 1)
		s.to.noFolders = true
		for range 3 {
			if s.sync(copier.Differing); s.target.count(mailbox.Inbox, text(1)) != 1 {
				s.Fatal("the target has no copy any more of a message that the source has")
			}
		}
		s.to.noFolders, s.job.Retry = false, true
		s.sync(copier.Equal)
		s.equal()
	})
}

// TestMovedOnAFullTarget: a message is moved, and the target has no room for a second
// copy. A target that can move the first one does; otherwise that one stays until there
// is room.
func TestMovedOnAFullTarget(t *testing.T) {
	for name, left := range map[string]func(s *scene){
		"from a folder that stays": func(s *scene) { s.source.remove("Old", 1) },
		"from a folder that went":  func(s *scene) { s.source.drop("Old") },
	} {
		for _, move := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, MOVE %v", name, move), func(t *testing.T) {
				play(t, func(s *scene) {
					s.target.feat.move = move
					s.source.create("Old")
					s.deposit("Old", 1, 1) // twins
					s.deposit(mailbox.Inbox, 2)
					s.sync(copier.Equal)
					s.source.create("Work")
					left(s)
					s.deposit("Work", 1)
					s.to.full = true
					if _, err := s.engine.Sync(s.Context(), s.job); (err == nil) != move {
						s.Fatal(err)
					}
					if n := s.target.total(text(1)); n == 0 || move && s.target.count("Work", text(1)) != 1 {
						s.Fatalf("the target has %d copies of the message: %v", n, s.target.folders)
					}
					s.to.full = false
					s.sync(copier.Equal)
					s.equal()
				})
			})
		}
	}
}

// TestUnreadableAndLeft: while a message of the source cannot be read, a message that a
// user of the target left is listed as held, and stays also if its deletion is approved.
func TestUnreadableAndLeft(t *testing.T) {
	for _, folder := range []mailbox.FolderName{mailbox.Inbox, "Mine"} {
		t.Run(string(folder), func(t *testing.T) {
			play(t, func(s *scene) {
				s.deposit(mailbox.Inbox, 1)
				s.sync(copier.Equal)
				s.source.userPut(mailbox.Inbox, "damaged", "", at(2))
				s.from.damaged = true
				if folder != mailbox.Inbox {
					s.target.create(folder)
				}
				s.target.userPut(folder, text(9), "", at(9))
				if r := s.sync(copier.Held); r.Held != 1 {
					s.Errorf("%d messages are held, want 1", r.Held)
				}
				s.approveAll()
				for range 2 {
					if s.sync(copier.Differing); s.target.count(folder, text(9)) != 1 {
						s.Fatal("what may be the only copy of a message went")
					}
				}
				s.from.damaged, s.job.Retry = false, true
				s.sync(copier.Equal)
				s.equal()
			})
		})
	}
}

// TestUnreadableTwin: the source has two messages that are the same, hands one of them
// over, and deletes that one. The target's copy stays: the other may be its twin.
func TestUnreadableTwin(t *testing.T) {
	play(t, func(s *scene) {
		const twin = "Message-ID: <d>\r\n\r\ndamaged\r\n"
		s.source.userPut(mailbox.Inbox, twin, "", at(1))
		s.deposit(mailbox.Inbox, 3)
		s.sync(copier.Equal)
		s.source.userPut(mailbox.Inbox, twin, "", at(1))
		s.from.damaged = true
		s.sync(copier.Differing)
		s.source.remove(mailbox.Inbox, 1)
		s.source.remove(mailbox.Inbox, 2)
		for range 2 {
			if s.sync(copier.Differing); s.target.count(mailbox.Inbox, twin) != 1 {
				s.Fatal("the target has no copy any more of a message that the source has")
			}
		}
		if s.target.count(mailbox.Inbox, text(3)) != 0 {
			s.Error("a message of another size and date stays")
		}
		s.from.damaged, s.job.Retry = false, true
		s.sync(copier.Equal)
		s.equal()
	})
}

func (s *balkySession) CreateFolder(ctx context.Context, name mailbox.FolderName, use []string) error {
	if s.p.noFolders {
		return fault.Newf(fault.Permanent, "folder refused")
	}
	return s.Session.CreateFolder(ctx, name, use)
}
