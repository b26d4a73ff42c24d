package imapstore

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/mailbox"
)

// Subscribe sets or clears the subscriptions of folders, all commands under way at
// once. It returns the folders for which the server refused that.
func (s *Session) Subscribe(ctx context.Context, subscribed bool, names ...mailbox.FolderName) (refused []mailbox.FolderName, err error) {
	var spelled []string
	var asked []mailbox.FolderName
	for _, name := range names {
		text, err := s.spell(name)
		if err != nil {
			refused = append(refused, name)
			continue
		}
		spelled, asked = append(spelled, text), append(asked, name)
	}
	const ahead = 100 // commands without an answer
	for first := 0; first < len(asked); first += ahead {
		end := min(first+ahead, len(asked))
		var commands []waiter
		err := s.run(ctx, "subscribe folders", func() error {
			s.wire.hold()
			for _, text := range spelled[first:end] {
				command := s.client.Unsubscribe
				if subscribed {
					command = s.client.Subscribe
				}
				commands = append(commands, simpleCommand{command(text)})
			}
			lost := s.wire.letGo()
			for i, c := range commands {
				err := c.Close()
				if refusal(err) != nil {
					refused = append(refused, asked[first+i])
				} else if err != nil && lost == nil {
					lost = err
				}
			}
			return lost
		})
		if err != nil {
			return nil, err
		}
	}
	return refused, nil
}

// Subscribed returns the folders that are subscribed.
func (s *Session) Subscribed(ctx context.Context) (map[mailbox.FolderName]bool, error) {
	subscribed := map[mailbox.FolderName]bool{}
	err := s.run(ctx, "list subscriptions", func() error {
		clear(subscribed)
		seen, err := s.collect(newListing(ofMailbox), func() []waiter {
			if s.wire.has("LIST-EXTENDED") && !s.wire.has("IMAP4REV1") { // which may have no LSUB
				return []waiter{s.client.List("", "*", &imap.ListOptions{SelectSubscribed: true})}
			}
			return []waiter{s.lsub("*")}
		})
		if err != nil {
			return err
		}
		note := func(decoded string) {
			if s.ns.holds(decoded) {
				subscribed[mailbox.FolderFromWire(decoded, s.ns.separator, s.ns.prefix)] = true
			}
		}
		for _, name := range seen.subscribed {
			note(decodeName(name))
		}
		for _, f := range seen.folders {
			if f.subscribed {
				note(f.decoded)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return subscribed, nil
}
