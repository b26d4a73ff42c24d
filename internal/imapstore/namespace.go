package imapstore

import (
	"context"
	"strings"

	"mailmirror/internal/mailbox"
)

// namespace is one entry of a NAMESPACE response (RFC 2342). The prefix is
// decoded from modified UTF-7.
type namespace struct {
	prefix    string
	separator rune
}

// namespaces is what a store tells of its hierarchy: the first personal
// namespace, in which the mirror lives, and all of them.
type namespaces struct {
	namespace
	personal, others, shared []namespace
}

// holds reports whether a folder belongs to the mailbox itself and not to
// another user's or a shared tree that the server lists as well. The longest
// prefix decides; the tree's own root counts as in it.
func (n *namespaces) holds(name string) bool {
	if strings.EqualFold(name, string(mailbox.Inbox)) {
		return true
	}
	best, personal := -1, true
	look := func(list []namespace, own bool) {
		for _, ns := range list {
			root := strings.TrimSuffix(ns.prefix, string(ns.separator))
			if (strings.HasPrefix(name, ns.prefix) || (ns.prefix != "" && name == root)) && len(ns.prefix) > best {
				best, personal = len(ns.prefix), own
			}
		}
	}
	look(n.personal, true)
	look(n.others, false)
	look(n.shared, false)
	return personal
}

// namespaces returns the store's, asking at most once in the Store's life.
func (s *Store) namespaces(ctx context.Context, session *Session) (*namespaces, error) {
	if session.number == "" {
		// The trusted account's own view is another one.
		return session.askNamespaces(ctx)
	}
	s.mu.Lock()
	known := s.personal
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	asked, err := session.askNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	s.rememberNamespaces(asked)
	return asked, nil
}

func (s *Store) rememberNamespaces(n *namespaces) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.personal = n
}

// forgetNamespaces makes the next session ask again.
func (s *Store) forgetNamespaces() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.personal = nil
}

func (s *Session) askNamespaces(ctx context.Context) (*namespaces, error) {
	const op = "ask for the namespace"
	n := &namespaces{}
	err := s.run(ctx, op, func() error {
		seen := &kept{}
		s.wire.collect(seen)
		var err error
		if s.wire.has("NAMESPACE") {
			_, err = s.client.Namespace().Wait()
		} else {
			err = s.client.List("", "", nil).Close()
		}
		s.wire.collect(nil)
		if err != nil {
			return err
		}
		if s.wire.has("NAMESPACE") {
			err = n.scan(seen.responses)
		} else {
			err = n.scanSeparator(seen.responses)
		}
		if err == nil && len(n.personal) == 0 && s.number != "" {
			// Cyrus lets a proxy log in for a mailbox that does not exist. An
			// account that only acts for others has no namespace of its own.
			return s.noMailbox()
		}
		return err
	})
	return n, err
}

// scan reads the NAMESPACE response among answers.
func (n *namespaces) scan(answers [][]byte) error {
	for _, a := range answers {
		sc := &scanner{rest: a}
		if sc.kind() != "NAMESPACE" {
			continue
		}
		n.personal, n.others, n.shared = scanNamespaces(sc), scanNamespaces(sc), scanNamespaces(sc)
		if sc.bad {
			return sc.fault()
		}
	}
	if len(n.personal) > 0 {
		n.namespace = n.personal[0]
	}
	return nil
}

// scanSeparator reads what LIST "" "" tells where there is no NAMESPACE.
func (n *namespaces) scanSeparator(answers [][]byte) error {
	for _, a := range answers {
		sc := &scanner{rest: a}
		if sc.kind() != "LIST" {
			continue
		}
		l, _ := scanList(sc)
		if sc.bad {
			return sc.fault()
		}
		n.personal = []namespace{{separator: l.separator}}
		n.namespace = n.personal[0]
	}
	return nil
}

// scanNamespaces reads NIL or ((prefix separator extensions…) …).
func scanNamespaces(s *scanner) []namespace {
	s.blanks()
	if s.peek() != '(' {
		s.word()
		return nil
	}
	var list []namespace
	s.list(func() bool {
		var ns namespace
		field := 0
		ok := s.list(func() bool {
			defer func() { field++ }()
			switch field {
			case 0:
				text, _ := s.text()
				decoded, ok := decodeUTF7(text)
				ns.prefix = decoded
				return ok && isPlainText(decoded) && !s.bad
			case 1:
				text, quoted := s.text()
				if quoted && text != "" {
					ns.separator = []rune(text)[0]
				}
				return isPlainText(text) && !s.bad
			default:
				return s.value()
			}
		})
		list = append(list, ns)
		return ok
	})
	return list
}
