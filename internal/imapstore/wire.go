package imapstore

import (
	"bytes"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/endpoint"
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
	greeted   bool
	secrets   secrets
	sent      map[string]bool // tags without an answer; true where its text is not shown
	hushed    bool            // a message was sent, and no text is shown any more
	lastTag   int
	unasked   int64 // bytes that came since the last command and are no answer
	permanent []string
	sink      sink      // takes LIST, LSUB, STATUS, NAMESPACE and ID responses; nil while nobody asks
	found     *searched // takes SEARCH and ESEARCH responses; nil while nobody asks

	// What the UID FETCH under way asked for, and what of it came.
	fetch       fetchKind
	asked, came mailbox.UIDSet
	outOfOrder  int

	awaiting *goAhead
	appended map[string]appendUID // by tag
	batch    string               // tag of the APPEND that has not ended; "" where none

	holds   held
	counted int64 // messages whose metadata came since Messages began

	reader <-chan struct{} // closed when go-imap's reader has ended

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

// fetchKind says which FETCH responses the session waits for.
type fetchKind int

const (
	fetchNone fetchKind = iota
	fetchMetadata
	fetchHeader
	fetchBody
)

// section is the name of the item that is the message, or its header.
func (k fetchKind) section() string {
	switch k {
	case fetchHeader:
		return "BODY[HEADER]"
	case fetchBody:
		return "BODY[]"
	default:
		return ""
	}
}

// sink takes responses for the session, within its bounds.
type sink interface {
	take(response []byte) error
}

// goAhead is a literal's wait for the server's "+" (RFC 9051, section 4.3).
type goAhead struct {
	tag string
	ch  chan bool // one value: true for "+", false for a tagged answer instead
}

// link is what wire and ear read from and write to.
type link = endpoint.Conn

func newLink(raw, nc net.Conn, timeouts Timeouts) *link {
	return endpoint.NewConn(raw, nc, timeouts.Read, timeouts.Write)
}

func newWire(l *link) *wire {
	return &wire{link: l, caps: map[string]bool{}, sent: map[string]bool{}, appended: map[string]appendUID{}}
}

// begin hands the wire to go-imap, whose reader may have commands written at once.
func (w *wire) begin() *imapclient.Client {
	w.smu.Lock()
	defer w.smu.Unlock()
	client := imapclient.New(w, nil)
	w.reader = client.Closed()
	return client
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

// beginLogin forgets that capabilities were told: those of before a login do not
// hold after it. From now on no text that holds one of the secrets is shown.
func (w *wire) beginLogin(s secrets) {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.told, w.secrets = false, s
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

// expectFetch says what the next UID FETCH asks for.
func (w *wire) expectFetch(kind fetchKind, uids mailbox.UIDSet) {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.fetch, w.asked, w.came, w.outOfOrder = kind, uids, nil, 0
}

// collect gives to a sink the LIST, LSUB, STATUS, NAMESPACE and ID responses that
// come from now on; to none with nil.
func (w *wire) collect(to sink) {
	w.smu.Lock()
	defer w.smu.Unlock()
	w.sink = to
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
		if !isCapability(name) || caps[name] {
			continue
		}
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

// isCapability reports the name of a capability that is known. Others are left out,
// since capabilities are shown.
func isCapability(name string) bool { return knownCapabilities[name] }

// knownCapabilities are those of the registry of IANA, and those that servers
// announced before they were in it.
var knownCapabilities = func() map[string]bool {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(`IMAP4 IMAP4REV1 IMAP4REV2 ACL ANNOTATE-EXPERIMENT-1 APPENDLIMIT BINARY CATENATE CHILDREN
		COMPRESS=DEFLATE CONDSTORE CONTEXT=SEARCH CONTEXT=SORT CONVERT CREATE-SPECIAL-USE ENABLE ESEARCH ESORT FILTERS I18NLEVEL=1
		I18NLEVEL=2 ID IDLE INPROGRESS JMAPACCESS LANGUAGE LIST-EXTENDED LIST-METADATA LIST-MYRIGHTS LIST-STATUS LITERAL+ LITERAL-
		LOGIN-REFERRALS LOGINDISABLED MAILBOX-REFERRALS MESSAGELIMIT METADATA METADATA-SERVER MOVE MULTIAPPEND MULTISEARCH NAMESPACE
		NOTIFY OBJECTID OBJECTIDBIS PARTIAL PREVIEW PREVIEW=FUZZY QRESYNC QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE
		QUOTA=RES-MAILBOX QUOTASET REPLACE SASL-IR SAVEDATE SAVELIMIT SEARCH=FUZZY SEARCHRES SNIPPET=FUZZY SORT SORT=DISPLAY SORT=MODSEQ
		SPECIAL-USE STARTTLS STATUS=SIZE THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS UIDBATCHES UIDONLY UIDPLUS UNAUTHENTICATE
		UNSELECT URL-PARTIAL URLAUTH UTF8=ACCEPT UTF8=ONLY WITHIN XAPPLEPUSHSERVICE XLIST XMOVE X-GM-EXT-1 X-QUOTA=STORAGE
		AUTH=PLAIN AUTH=LOGIN AUTH=EXTERNAL AUTH=ANONYMOUS AUTH=CRAM-MD5 AUTH=DIGEST-MD5 AUTH=NTLM AUTH=GSSAPI AUTH=GS2-KRB5
		AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS AUTH=OAUTHBEARER AUTH=XOAUTH2`) {
		known[name] = true
	}
	return known
}()
