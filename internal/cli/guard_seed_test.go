package cli_test

import (
	"time"

	"mailmirror/internal/guard"
	"mailmirror/internal/mirror"
)

func hold(id int64, h guard.Hold, rule mirror.Rule, text string) guard.Hold {
	h.ID, h.Link, h.Since, h.AskedAt, h.UpdatedAt = id, "dr", clock.Add(-time.Hour), clock.Add(-time.Hour), clock.Add(-time.Minute)
	h.Reasons = []mirror.Reason{{Rule: rule, Text: text}}
	return h
}

// leftover has somebody leave two messages on the target.
func (s *system) leftover() {
	s.repo.PutHolds(hold(19, guard.Hold{State: guard.HoldWaiting, Number: "1004", Folder: "INBOX", Messages: 2, Target: 9, Source: 7, TargetOnly: 2},
		mirror.RuleTargetOnly, "2 messages that only the target has; the mirror did not put them there, as far as its ledger shows"))
}

// holds has an accident happen to the link that seed describes: an inbox was
// emptied, a folder is gone, and one deletion was refused long ago.
func (s *system) holds() {
	s.repo.PutHolds(
		hold(17, guard.Hold{State: guard.HoldWaiting, Number: "1001", Folder: "INBOX", Messages: 54, Target: 54},
			mirror.RuleFolderShare, "54 of 54 messages of the folder: more than 50 % and at least 20"),
		hold(18, guard.Hold{State: guard.HoldWaiting, Number: "1002", Folder: "Saved", Messages: 3, Target: 3, Vanished: true},
			mirror.RuleVanished, "the folder vanished from the source, and held 3 messages"),
		hold(4, guard.Hold{State: guard.HoldRefused, Number: "1003", Folder: "INBOX", Messages: 30, Target: 84, Source: 54,
			DecidedBy: "bert", DecidedAt: clock.Add(-30 * time.Minute)},
			mirror.RuleRecreated, "the source's folder is another one than before, with 54 messages instead of 84"),
	)
	s.repo.PutFigures(guard.Counts{Deleted: 57, Emptied: 1, Messages: 324, Mailboxes: 6})
}
