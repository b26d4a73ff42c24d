package reader

import "strings"

// Apart splits a copy of a mailbox into what is mirrored and what is kept of deleted messages.
func (c Copy) Apart(keptIn string) (mirrored, kept Copy) {
	mirrored, kept = Copy{}, Copy{}
	for name, f := range c {
		if name == keptIn || strings.HasPrefix(name, keptIn+"/") {
			kept[name] = f
		} else {
			mirrored[name] = f
		}
	}
	return mirrored, kept
}

// Had reports whether a message was in a folder. A server may mark what is
// copied as it likes.
func (f Folder) Had(m Message) bool {
	for was := range f.Messages {
		if was.Digest == m.Digest && was.Date == m.Date {
			return true
		}
	}
	return false
}
