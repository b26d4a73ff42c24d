package imapstore

import (
	"context"

	"mailmirror/internal/mailbox"
)

// CanMove reports whether the server has MOVE.
func (s *Session) CanMove() bool { return s.wire.has("MOVE") }

// Move moves messages of the open folder to another one (RFC 6851). go-imap's
// own would make do without the extension, in several steps that a lost
// connection leaves half done.
func (s *Session) Move(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error {
	spelled, err := s.spell(to)
	if err != nil {
		return err
	}
	return s.run(ctx, "move messages", func() error {
		for _, part := range uids.Chunks(maxSetBytes) {
			s.wire.replace = "UID MOVE " + part.String() + " " + quote(encodeUTF7(spelled))
			if err := s.client.Noop().Wait(); err != nil {
				return err
			}
		}
		return s.mustBeGone(uids)
	})
}

// Copy copies messages of the open folder to another one, by one command.
func (s *Session) Copy(ctx context.Context, uids mailbox.UIDSet, to mailbox.FolderName) error {
	if len(uids) == 0 {
		return nil
	}
	spelled, err := s.spell(to)
	if err != nil {
		return err
	}
	return s.run(ctx, "copy messages", func() error {
		_, err := s.client.Copy(numSet(uids), spelled).Wait()
		return err
	})
}
