package copiersim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/mailbox"
)

// features is what a simulated server can and cannot do.
type features struct {
	condstore, uidplus, keywords       bool
	altersNUL, refusesPoison, noRename bool
	refusesInPlaces                    bool // refuses poison in some folders only
	refusesUrgent                      bool // announces any keyword and says NO to this one
	multiappend                        bool // takes several messages by one command
	redates                            bool // puts another date in place of some
	move                               bool
	keepsLevels                        bool // makes the folders above a new one, and deletes none of them
}

// message is one stored message; content is its whole text.
type message struct {
	uid     mailbox.UID
	content string
	flags   mailbox.Flags
	date    time.Time
	modseq  uint64
	byUser  bool // a user put it there, and not the mirror
}

type folder struct {
	validity   uint32
	next       mailbox.UID
	modseq     uint64
	subscribed bool
	refusesAll bool       // every append is answered NO
	messages   []*message // by UID
}

// store is one server with one mailbox.
type store struct {
	w        *world
	name     string
	feat     features
	folders  map[mailbox.FolderName]*folder
	validity uint32
	refused  int // appends answered NO
	// ever counts, per folder and content, the messages that were ever put
	// there by a user: the engine may never exceed it on the target.
	ever map[mailbox.FolderName]map[string]int
	// touched is when users last changed how often a content is in a folder.
	touched map[string]time.Time
	// had are the contents that users ever put anywhere, as the target keeps them.
	had map[string]bool
}

func newStore(w *world, name string, feat features) *store {
	s := &store{w: w, name: name, feat: feat, folders: map[mailbox.FolderName]*folder{},
		ever: map[mailbox.FolderName]map[string]int{}, touched: map[string]time.Time{}, had: map[string]bool{}}
	s.create(mailbox.Inbox)
	return s
}

func (s *store) create(name mailbox.FolderName) *folder {
	s.validity++
	f := &folder{validity: 1000 + s.validity, next: 1, modseq: 1}
	s.folders[name] = f
	if p := name.Parent(); s.feat.keepsLevels && p != "" && s.folders[p] == nil {
		s.create(p)
	}
	return f
}

func (f *folder) counters(feat features) mailbox.Counters {
	c := mailbox.Counters{UIDValidity: f.validity, UIDNext: f.next, Messages: uint32(len(f.messages))}
	if feat.condstore {
		c.HighestModSeq = f.modseq
	}
	return c
}

func (f *folder) find(uid mailbox.UID) *message {
	i, ok := slices.BinarySearchFunc(f.messages, uid, func(m *message, u mailbox.UID) int { return int(m.uid) - int(u) })
	if !ok {
		return nil
	}
	return f.messages[i]
}

func (f *folder) bump() uint64 { f.modseq++; return f.modseq }

func (s *store) put(name mailbox.FolderName, content string, flags mailbox.Flags, date time.Time) mailbox.UID {
	f := s.folders[name]
	m := &message{uid: f.next, content: content, flags: flags, date: date, modseq: f.bump()}
	f.next++
	f.messages = append(f.messages, m)
	return m.uid
}

// refuses reports whether this store refuses a content in a folder.
func (s *store) refuses(name mailbox.FolderName, content string) bool {
	return s.feat.refusesPoison && strings.Contains(content, "poison") && (!s.feat.refusesInPlaces || name == "Work" || name == "Archive")
}

// kept is a content as this store keeps it.
func (s *store) kept(content string) string {
	if s.feat.altersNUL {
		return strings.ReplaceAll(content, "\x00", "\x80")
	}
	return content
}

// keptDate is a date as this store keeps it: Dovecot puts the time of arrival in
// place of a date to come.
func (s *store) keptDate(date time.Time) time.Time {
	if s.feat.redates && date.Unix()%4 == 3 {
		return date.Add(-time.Hour)
	}
	return date
}

// permanent is what a folder of this store lets anybody change.
func (s *store) permanent() mailbox.Permanent {
	return mailbox.Permanent{Flags: `\Answered \Deleted \Seen`, Any: s.feat.keywords}
}

func (s *store) keptFlags(flags mailbox.Flags) mailbox.Flags {
	keep, _ := s.permanent().Storable(flags)
	return keep
}

func (s *store) remove(name mailbox.FolderName, uid mailbox.UID) {
	f := s.folders[name]
	if m := f.find(uid); m != nil {
		f.messages = slices.DeleteFunc(f.messages, func(x *message) bool { return x == m })
		f.bump()
	}
}

func (s *store) count(name mailbox.FolderName, content string) int {
	n := 0
	if f := s.folders[name]; f != nil {
		for _, m := range f.messages {
			if m.content == content {
				n++
			}
		}
	}
	return n
}

// countLike counts the messages with m's content and date.
func (s *store) countLike(name mailbox.FolderName, m *message) int {
	n := 0
	if f := s.folders[name]; f != nil {
		for _, o := range f.messages {
			if o.content == m.content && o.date.Equal(m.date) {
				n++
			}
		}
	}
	return n
}

func (s *store) touch(name mailbox.FolderName, content string) {
	s.touched[string(name)+"\x00"+content] = time.Now()
}

func (s *store) lastTouched(name mailbox.FolderName, content string) time.Time {
	return s.touched[string(name)+"\x00"+content]
}

// userPut is what a user deposits; the content may be the twin of another.
func (s *store) userPut(name mailbox.FolderName, content string, flags mailbox.Flags, date time.Time) {
	content, date = s.kept(content), s.keptDate(date)
	uid := s.put(name, content, s.keptFlags(flags), date)
	s.touch(name, content)
	s.folders[name].find(uid).byUser = true
	s.had[s.w.target.kept(content)] = true
	if s == s.w.source {
		s.w.goesAgain(name, content)
	}
	s.w.tell("user on %s: puts %s %d %v", s.name, name, uid, s.folders[name].find(uid))
	if s.ever[name] == nil {
		s.ever[name] = map[string]int{}
	}
	s.ever[name][content]++
}

func (s *store) rename(from, to mailbox.FolderName) {
	prefix := from + "/"
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		var next mailbox.FolderName
		switch {
		case name == from:
			next = to
		case len(name) > len(prefix) && name[:len(prefix)] == prefix:
			next = to + "/" + name[len(prefix):]
		default:
			continue
		}
		s.folders[next] = s.folders[name]
		delete(s.folders, name)
		if s.ever[next] == nil {
			s.ever[next] = map[string]int{}
		}
		s.w.forgets++
		for _, m := range s.folders[next].messages {
			s.ever[next][m.content]++
			s.touch(next, m.content)
			s.touch(name, m.content)
		}
	}
}

var folderNames = []mailbox.FolderName{"INBOX", "Greetings", "Work", "Work/Old", "Archive"}

// userAct lets somebody use the store: what a voicemail system and its
// subscribers do, and what an administrator might.
func (s *store) userAct() {
	w := s.w
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.folders)), isKept)
	name := names[w.rng.IntN(len(names))]
	f := s.folders[name]
	var pick *message
	if len(f.messages) > 0 {
		pick = f.messages[w.rng.IntN(len(f.messages))]
	}
	roll := w.rng.IntN(100)
	w.tell("user on %s: act %d in %s", s.name, roll, name)
	switch {
	case roll < 50 || pick == nil:
		content, date := s.w.content()
		s.userPut(name, content, s.w.flags(), date)
	case roll < 58: // a twin
		if s == w.target {
			w.forgets++ // it may be taken for a new twin of the source, unread
		}
		s.userPut(name, pick.content, pick.flags, pick.date)
	case roll < 72:
		s.remove(name, pick.uid)
		s.touch(name, pick.content)
	case roll < 82:
		pick.flags = s.keptFlags(s.w.flags())
		pick.modseq = f.bump()
	case roll < 88: // moved, as saving or deleting a voice message does
		if to := names[w.rng.IntN(len(names))]; to != name {
			if s == w.target {
				w.forgets++
			}
			s.remove(name, pick.uid)
			s.touch(name, pick.content)
			s.userPut(to, pick.content, pick.flags, pick.date)
		}
	case roll < 92:
		if to := folderNames[w.rng.IntN(len(folderNames))]; s.folders[to] == nil {
			s.create(to)
		}
	case roll < 94:
		if name != mailbox.Inbox {
			s.drop(name)
		}
	case roll < 96:
		if to := folderNames[w.rng.IntN(len(folderNames))]; name != mailbox.Inbox && s.folders[to] == nil && to.Parent() != name {
			s.rename(name, to)
		}
	case roll < 98:
		f.subscribed = !f.subscribed
	default: // re-created with the same messages: a new UIDVALIDITY, and new UIDs
		s.validity++
		f.validity = 1000 + s.validity
		w.rng.Shuffle(len(f.messages), func(i, j int) { f.messages[i], f.messages[j] = f.messages[j], f.messages[i] })
		f.number()
		w.forgets++
	}
}

// number gives the messages new UIDs and mod-sequences in their order.
func (f *folder) number() {
	f.next, f.modseq = 1, 1
	for _, m := range f.messages {
		m.uid, m.modseq = f.next, f.bump()
		f.next++
	}
}

// restore sets a folder back to what it was before its last messages came, as
// a backup does: the UIDVALIDITY stays, UIDs are given out again.
func (s *store) restore(name mailbox.FolderName, atMost int) (lost int) {
	f := s.folders[name]
	lost = min(atMost, len(f.messages))
	for range lost {
		last := f.messages[len(f.messages)-1]
		s.touch(name, last.content)
		f.messages = f.messages[:len(f.messages)-1]
		f.next = last.uid
	}
	s.w.ledger.forgetFrom(f.validity, f.next) // given out again, a UID is another message
	f.modseq = 1
	for _, m := range f.messages {
		m.modseq = f.bump()
	}
	return lost
}

// total counts a content over all folders.
func (s *store) total(content string) int {
	n := 0
	for name := range s.folders {
		n += s.count(name, content)
	}
	return n
}

// touchedSince reports whether a content changed in number in any folder.
func (s *store) touchedSince(content string, t time.Time) bool {
	for key, at := range s.touched {
		if _, c, _ := strings.Cut(key, "\x00"); c == content && !at.Before(t) {
			return true
		}
	}
	return false
}

// levels are the names that folders stand below.
func (s *store) levels() map[mailbox.FolderName]bool {
	out := map[mailbox.FolderName]bool{}
	for name := range s.folders {
		out[name.Parent()] = true
	}
	return out
}

func (s *store) drop(name mailbox.FolderName) {
	for _, m := range s.folders[name].messages {
		s.touch(name, m.content)
	}
	delete(s.folders, name)
}

// content draws a message: mostly with a Message-ID of its own, some without,
// some with the same header and size as others, some that servers dislike.
func (w *world) content() (string, time.Time) {
	date := time.Unix(1700000000+int64(w.rng.IntN(4)), 0)
	if w.restored {
		date = w.ownDate()
	}
	zero := 97
	if w.target.feat.altersNUL && !w.target.feat.uidplus {
		zero = 70 // the pairing by order has only these
	}
	switch roll := w.rng.IntN(100); {
	case w.target.feat.refusesPoison && w.target.feat.refusesInPlaces && roll%4 == 0:
		return fmt.Sprintf("Message-ID: <p%d>\r\n\r\npoison\r\n", w.rng.IntN(1000)), date
	case roll >= zero && roll < 90:
		return fmt.Sprintf("Message-ID: <n%d>\r\n\r\nzero \x00 %d\r\n", w.rng.IntN(1<<20), w.rng.IntN(10)), date
	case roll < 70:
		id := w.rng.IntN(1 << 20)
		return fmt.Sprintf("Message-ID: <%d>\r\nSubject: m\r\n\r\nbody %d\r\n", id, id), date
	case roll < 84: // no Message-ID: equal header and size, other body
		return fmt.Sprintf("Subject: m\r\n\r\nbody %d\r\n", w.rng.IntN(10)), date
	case roll < 90: // no header at all
		return fmt.Sprintf("\r\n%d\r\n", w.rng.IntN(10)), date
	case roll < 93:
		return "", date
	case roll < 97:
		return fmt.Sprintf("Message-ID: <n%d>\r\n\r\nzero \x00 %d\r\n", w.rng.IntN(1<<20), w.rng.IntN(10)), date
	default:
		return fmt.Sprintf("Message-ID: <p%d>\r\n\r\npoison\r\n", w.rng.IntN(1000)), date
	}
}

func (w *world) flags() mailbox.Flags {
	var list []string
	for _, f := range []string{`\Seen`, `\Answered`, `\Deleted`, "$Forwarded", "urgent"} {
		if w.chance(25) {
			list = append(list, f)
		}
	}
	return mailbox.NewFlags(list...)
}

func (m *message) String() string {
	return fmt.Sprintf("%q %v %d", m.content, m.flags, m.date.Unix())
}
