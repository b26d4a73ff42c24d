package imapstore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// SetFlags replaces the flags of messages of the open folder.
func (s *Session) SetFlags(ctx context.Context, uids mailbox.UIDSet, flags mailbox.Flags) error {
	if err := validateFlags(flags); err != nil {
		return err
	}
	return s.run(ctx, "set flags", func() error {
		return s.storeFlags(uids, imap.StoreFlagsSet, imapFlags(flags))
	})
}

// storeFlags sends UID STORE for a set of any size. Messages that are gone are no
// error of the server's.
func (s *Session) storeFlags(uids mailbox.UIDSet, op imap.StoreFlagsOp, flags []imap.Flag) error {
	for _, part := range uids.Chunks(maxSetBytes - flagBytes(flags)) {
		cmd := s.client.Store(numSet(part), &imap.StoreFlags{Op: op, Silent: true, Flags: flags}, nil)
		if err := cmd.Close(); err != nil {
			return err
		}
	}
	return nil
}

func flagBytes(flags []imap.Flag) int {
	n := 0
	for _, f := range flags {
		n += len(f) + 1
	}
	return min(n, maxSetBytes/2)
}

var deletedFlag = []imap.Flag{imap.FlagDeleted}

// Expunge removes exactly the given messages of the open folder.
func (s *Session) Expunge(ctx context.Context, uids mailbox.UIDSet) error {
	if len(uids) == 0 {
		return nil
	}
	return s.run(ctx, "expunge messages", func() error {
		if !s.wire.has("UIDPLUS") {
			return s.expungeAlone(uids)
		}
		if err := s.storeFlags(uids, imap.StoreFlagsAdd, deletedFlag); err != nil {
			return err
		}
		for _, part := range uids.Chunks(maxSetBytes) {
			if err := s.client.UIDExpunge(numSet(part)).Close(); err != nil {
				return err
			}
		}
		return s.mustBeGone(uids)
	})
}

// expungeAlone removes messages where EXPUNGE takes all that carry `\Deleted`:
// the others lose the flag meanwhile and get it back. A crash in between leaves
// them without it, which the next compare of flags puts right; the other order
// could lose messages.
func (s *Session) expungeAlone(uids mailbox.UIDSet) error {
	var spared mailbox.UIDSet
	for range 5 {
		if err := s.storeFlags(uids, imap.StoreFlagsAdd, deletedFlag); err != nil {
			return err
		}
		marked, err := s.search(&imap.SearchCriteria{Flag: deletedFlag})
		if err != nil {
			return err
		}
		others := marked.Minus(uids)
		if len(others) == 0 {
			err := s.client.Expunge().Close()
			if back := s.restoreDeleted(spared); err == nil {
				err = back
			}
			if err != nil {
				return err
			}
			return s.mustBeGone(uids)
		}
		spared = spared.Union(others)
		if err := s.storeFlags(others, imap.StoreFlagsDel, deletedFlag); err != nil {
			return err
		}
		// Somebody may mark another meanwhile: look again before expunging.
	}
	if err := s.restoreDeleted(spared); err != nil {
		return err
	}
	return fault.New(fault.Transient, "expunge messages",
		errors.New("others mark messages as deleted at the same time, and the server cannot expunge single ones"), "")
}

func (s *Session) restoreDeleted(spared mailbox.UIDSet) error {
	if len(spared) == 0 {
		return nil
	}
	return s.storeFlags(spared, imap.StoreFlagsAdd, deletedFlag)
}

// mustBeGone proves an expunge: a folder without the right to expunge may let
// the command pass and keep the messages.
func (s *Session) mustBeGone(uids mailbox.UIDSet) error {
	left, err := s.existing(uids)
	if err != nil || len(left) == 0 {
		return err
	}
	return fault.New(fault.Permanent, "expunge messages", errors.New("the server says yes and keeps the messages"),
		"give the trusted account the right to expunge")
}

// CreateFolder creates a folder.
func (s *Session) CreateFolder(ctx context.Context, name mailbox.FolderName, specialUse []string) error {
	spelled, err := s.spell(name)
	if err != nil {
		return err
	}
	return s.run(ctx, "create folder "+string(name), func() error {
		uses := s.creatableUses(specialUse)
		if len(uses) > 0 {
			err := s.client.Create(spelled, &imap.CreateOptions{SpecialUse: uses}).Wait()
			if refusal(err) == nil {
				return err
			}
			// [USEATTR] or anything else: the folder matters more than its use.
		}
		err := s.client.Create(spelled, nil).Wait()
		if refusal(err) == nil {
			return err
		}
		return s.unlessFolder(spelled, true, err)
	})
}

func (s *Session) creatableUses(uses []string) []imap.MailboxAttr {
	if !s.wire.has("CREATE-SPECIAL-USE") {
		return nil
	}
	var out []imap.MailboxAttr
	for _, u := range uses {
		if use, ok := specialUses[strings.ToLower(u)]; ok {
			out = append(out, imap.MailboxAttr(use))
		}
	}
	slices.Sort(out)
	return out
}

// unlessFolder forgives a NO where the folder is already as it should be: there
// (and can be opened), or not. Servers differ in the codes that they give. STATUS
// tells it, and not LIST: a name there is a pattern, and one such as "{5}" ends
// Cyrus's process.
func (s *Session) unlessFolder(spelled string, wanted bool, refused error) error {
	_, err := s.client.Status(spelled, &imap.StatusOptions{UIDValidity: true}).Wait()
	if err != nil && refusal(err) == nil {
		return err
	}
	if exists := err == nil; exists == wanted {
		return nil
	}
	return refused
}

// DeleteFolder deletes a folder.
func (s *Session) DeleteFolder(ctx context.Context, name mailbox.FolderName) error {
	spelled, err := s.spell(name)
	if err != nil {
		return err
	}
	if s.open == spelled {
		if err := s.Unselect(ctx); err != nil {
			return err
		}
	}
	return s.run(ctx, "delete folder "+string(name), func() error {
		err := s.client.Delete(spelled).Wait()
		if refusal(err) == nil {
			return err
		}
		return s.unlessFolder(spelled, false, err)
	})
}

// RenameFolder renames a folder and all below it.
func (s *Session) RenameFolder(ctx context.Context, from, to mailbox.FolderName) error {
	old, err := s.spell(from)
	if err != nil {
		return err
	}
	renamed, err := to.Wire(s.ns.separator, s.ns.prefix)
	if err == nil {
		err = validateName(to, renamed)
	}
	if err != nil {
		return err
	}
	if s.open != "" {
		if err := s.Unselect(ctx); err != nil {
			return err
		}
	}
	return s.run(ctx, "rename folder "+string(from)+" to "+string(to), func() error {
		if err := s.client.Rename(old, renamed, nil).Wait(); err != nil {
			return err
		}
		// What List saw no longer holds, for this name and all below it.
		s.spelled = nil
		return nil
	})
}
