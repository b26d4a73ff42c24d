package imapstore

import (
	"bytes"
	"strings"
	"sync"

	"mailmirror/internal/mailbox"
)

// wire is the net.Conn that go-imap gets: a link with a reader of responses
// (wire_read.go) and an expander of APPEND literals (wire_write.go).
type wire struct {
	*link
	responses reader // of go-imap's reading goroutine alone

	// What the session and the reading goroutine share.
	smu       sync.Mutex
	caps      map[string]bool
	shown     []byte // the list of caps as go-imap was shown it last
	told      bool   // caps came since the log-in began
	loggedIn  bool
	fetch     fetchKind
	collect   bool
	collected [][]byte
	permanent []string
	awaiting  *goAhead
	appended  map[string]appendUID // by tag
	batch     string               // tag of the APPEND that has not ended; "" where none

	// Of the writing goroutine alone.
	literal *literal
	replace string
	text    []byte
	buf     []byte
	used    int // bytes of buf that are not sent yet
	holding bool
	held    []byte // commands that go out together
}

// appendUID is what APPENDUID tells (RFC 4315, section 3): the UIDs of an
// APPEND's messages, in their order.
type appendUID struct {
	validity uint32
	uids     []mailbox.UID
}

// fetchKind says which FETCH responses the session waits for. All others are
// taken out: a server may send `FETCH (UID 7 FLAGS (\Seen))` of its own accord
// at any time, and go-imap would take it for the answer to a fetch of message 7
// whose body it then throws away.
type fetchKind int

const (
	fetchNone fetchKind = iota
	fetchMetadata
	fetchHeader
	fetchBody
)

// mark is what a wanted FETCH response holds before its first literal.
func (k fetchKind) mark() string {
	switch k {
	case fetchMetadata:
		return "RFC822.SIZE "
	case fetchHeader:
		return "BODY[HEADER]"
	case fetchBody:
		return "BODY[]"
	default:
		return ""
	}
}

// goAhead is a literal's wait for the server's "+" (RFC 9051, section 4.3).
type goAhead struct {
	tag string
	ch  chan bool // one value: true for "+", false for a tagged answer instead
}

func newWire(l *link) *wire {
	return &wire{link: l, caps: map[string]bool{}, appended: map[string]appendUID{}}
}

// Read hands go-imap what it may see of the server's responses.
func (w *wire) Read(p []byte) (int, error) { return w.responses.read(w, p) }

// has reports an announced capability. IMAP4rev2 implies none here, because
// nobody enables it.
func (w *wire) has(capability string) bool {
	w.smu.Lock()
	defer w.smu.Unlock()
	return w.caps[capability]
}

func (w *wire) capabilities() []string {
	w.smu.Lock()
	defer w.smu.Unlock()
	list := make([]string, 0, len(w.caps))
	for c := range w.caps {
		list = append(list, c)
	}
	return list
}

// beginLogin forgets that capabilities were told: those of before a log-in do not
// hold after it.
func (w *wire) beginLogin() {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.told = false
}

// toldAtLogin returns what the server told of its capabilities since the log-in
// began; nothing where it did not, or is logged in.
func (w *wire) toldAtLogin() ([]byte, bool) {
	w.smu.Lock()
	defer w.smu.Unlock()
	return w.shown, w.told && !w.loggedIn
}

// setLoggedIn ends the phase in which "+" and BAD belong to the log-in.
func (w *wire) setLoggedIn() {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.loggedIn = true
}

func (w *wire) expectFetch(kind fetchKind) {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.fetch = kind
}

// startCollecting begins to keep LIST, LSUB, STATUS, NAMESPACE and ID
// responses for the session.
func (w *wire) startCollecting() {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.collect, w.collected = true, nil
}

// stopCollecting returns what came since startCollecting, each response whole,
// with its literals in place.
func (w *wire) stopCollecting() [][]byte {
	w.smu.Lock()
	defer w.smu.Unlock()
	got := w.collected
	w.collect, w.collected = false, nil
	return got
}

// takeAppended returns the APPENDUID of a command and forgets it; nothing where
// the server sent none.
func (w *wire) takeAppended(tag string) (validity uint32, uids []mailbox.UID) {
	w.smu.Lock()
	defer w.smu.Unlock()
	a := w.appended[tag]
	delete(w.appended, tag)
	return a.validity, a.uids
}

// takePermanent returns the last PERMANENTFLAGS and forgets them; nil where
// the server has sent none.
func (w *wire) takePermanent() []string {
	w.smu.Lock()
	defer w.smu.Unlock()
	flags := w.permanent
	w.permanent = nil
	return flags
}

// noteCapabilities takes the list out of a CAPABILITY response or response
// code (without the word itself) and returns the list as go-imap shall see it:
// with LITERAL-, so that its APPEND never waits for a continuation, which is
// this package's business; without IMAP4rev2, at whose sight go-imap writes
// folder names in UTF-8 although nobody enabled that.
func (w *wire) noteCapabilities(list []byte) []byte {
	caps := map[string]bool{}
	shown := []byte("LITERAL-")
	for c := range bytes.FieldsSeq(list) {
		name := strings.ToUpper(string(c))
		caps[name] = true
		if name == "IMAP4REV2" || name == "LITERAL+" || name == "LITERAL-" {
			continue
		}
		shown = append(append(shown, ' '), c...)
	}
	w.smu.Lock()
	defer w.smu.Unlock()
	w.caps, w.shown, w.told = caps, shown, true
	return shown
}
