package imapstore

import (
	"context"
	"errors"

	"mailmirror/internal/mailbox"
)

// Overview implements copier.Overviewer.
func (s *Store) Overview(ctx context.Context, numbers []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, error) {
	return nil, errors.ErrUnsupported
}
