package copiersim

import (
	"context"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

func (c *session) CreateFolder(ctx context.Context, name mailbox.FolderName, _ []string) error {
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	if c.s.folders[name] == nil {
		c.s.create(name)
	}
	return nil
}

func (c *session) DeleteFolder(ctx context.Context, name mailbox.FolderName) error {
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	if c.s.feat.keepsLevels && c.s.levels()[name] {
		return fault.Newf(fault.Permanent, "folder has others below it")
	}
	if f := c.s.folders[name]; f != nil {
		delete(c.s.folders, name)
		for _, m := range f.messages {
			if isKept(name) {
				c.k.w.violate("%s: deleted with message %d %v", name, m.uid, m)
				continue
			}
			c.stillThere(name, f, m)
			if !c.s.touchedSince(m.content, c.opened) {
				c.mayGo(name, f, m)
			}
			c.s.touch(name, m.content)
		}
	}
	return nil
}

// stillThere checks, after m was removed from a folder of the target, that a
// message which the source only moved is on the target at every moment.
func (c *session) stillThere(from mailbox.FolderName, f *folder, m *message) {
	w := c.k.w
	if w.source.touchedSince(m.content, c.opened) || c.s.touchedSince(m.content, c.opened) {
		return
	}
	if on := w.source.total(m.content); on > 0 && c.s.total(m.content) == 0 {
		w.violate("%s: message %q removed, the last of the target, although the source has %d of it", from, m.content, on)
	}
}

func (c *session) RenameFolder(ctx context.Context, from, to mailbox.FolderName) error {
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	if c.s.feat.noRename || c.s.folders[from] == nil || c.s.folders[to] != nil {
		return fault.Newf(fault.Permanent, "rename refused")
	}
	c.s.rename(from, to)
	return nil
}

func (c *session) Subscribe(ctx context.Context, on bool, names ...mailbox.FolderName) (refused []mailbox.FolderName, err error) {
	if err := c.write(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	for _, name := range names {
		if f := c.s.folders[name]; f != nil {
			f.subscribed = on
		}
	}
	return nil, nil
}

func (c *session) Subscribed(ctx context.Context) (map[mailbox.FolderName]bool, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	list := map[mailbox.FolderName]bool{}
	for name, f := range c.s.folders {
		if f.subscribed {
			list[name] = true
		}
	}
	return list, nil
}
