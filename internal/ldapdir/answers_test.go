package ldapdir

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/seal"
)

// answering is what a server sends to a search, and what comes of it.
type answering struct {
	entries    []*ldap.Entry
	references int
	controls   []ldap.Control
	err        error // of the library
	cause      error // of the link
}

// searchOf runs a search through the link and the library, of a server that sends
// a stream of bytes, in parts of a size, and closes the connection.
func searchOf(t *testing.T, stream []byte, size int) answering {
	t.Helper()
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = far.Close() }()
		_, _ = far.Read(make([]byte, 4096))
		go func() { _, _ = io.Copy(io.Discard, far) }()
		for part := range slices.Chunk(stream, size) {
			if _, err := far.Write(part); err != nil {
				return
			}
		}
	}()
	l := newLink(near, near, Timeouts{}.withDefaults())
	session := &Session{store: &Store{}, link: l, conn: ldap.NewConn(l, false)}
	session.conn.Start()
	var a answering
	a.controls, a.references, a.err = session.find(t.Context(), &ldap.SearchRequest{Filter: "(cn=a)"}, 3, func(e *ldap.Entry) {
		a.entries = append(a.entries, withTexts(e))
	})
	a.cause = l.Cause()
	_ = session.Close()
	<-ended
	return a
}

// The parts of an honest answer.
func answerEntry(dn string, values ...string) []byte {
	var set [][]byte
	for _, v := range values {
		set = append(set, encode(0x04, []byte(v)))
	}
	return answerOfOne(tagEntry, encode(0x04, []byte(dn)), encode(0x30, encode(0x30, encode(0x04, []byte("cn")), encode(0x31, set...))))
}

func answerOfOne(tag byte, parts ...[]byte) []byte {
	return encode(0x30, encode(0x02, []byte{1}), encode(tag, parts...))
}

func answerDone(code byte, said string, more ...[]byte) []byte {
	done := encode(tagSearchDone, encode(0x0a, []byte{code}), encode(0x04, []byte("cn=matched")), encode(0x04, []byte(said)))
	return encode(0x30, append([][]byte{encode(0x02, []byte{1}), done}, more...)...)
}

func pagedControl(cookie string) []byte {
	value := encode(0x30, encode(0x02, []byte{0}), encode(0x04, []byte(cookie)))
	return encode(0x30, encode(0x04, []byte(controlPaged)), encode(0x04, value))
}

func nested(tag byte, depth int) []byte {
	var b []byte
	for range depth {
		b = encode(tag, b)
	}
	return b
}

func TestAnswers(t *testing.T) {
	other := encode(0x30, encode(0x04, []byte("1.2.3")), encode(0x04, nested(0x30, 900)))
	stream := slices.Concat(
		answerEntry("cn=a", "one", "two"),
		answerOfOne(tagReference, encode(0x04, []byte("ldap://elsewhere"))),
		answerOfOne(tagIntermediate, nested(0xa0, 900)),
		answerEntry("cn=b"),
		answerDone(0, "fine", encode(0xa0, other, pagedControl("next"))))
	for _, size := range []int{1, 2, 7, 1000} {
		a := searchOf(t, stream, size)
		if a.err != nil || a.references != 1 || len(a.entries) != 2 || a.entries[0].DN != "cn=a" || a.entries[1].DN != "cn=b" {
			t.Fatalf("in parts of %d: %+v", size, a)
		}
		if got := a.entries[0].GetAttributeValues("cn"); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("in parts of %d: %q", size, got)
		}
		if len(a.controls) != 1 || string(a.controls[0].(*ldap.ControlPaging).Cookie) != "next" {
			t.Errorf("in parts of %d: %v", size, a.controls)
		}
	}
	if a := searchOf(t, answerDone(50, "no"), 10); !isCode(a.err, 50) || a.cause != nil && !errors.Is(a.cause, endpoint.ErrServerClosed) {
		t.Errorf("a refusal is %v (%v)", a.err, a.cause)
	}
}

// Nothing that is no answer to the search reaches the library.
func TestHostileAnswers(t *testing.T) {
	huge := []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}
	many := make([]string, maxItems+1)
	bind := slices.Clone(answerDone(0, ""))
	bind[5] = 0x61
	for what, test := range map[string]struct {
		stream []byte
		want   error
	}{
		"another protocol":       {[]byte("* OK ready"), errNotLDAP},
		"an indefinite length":   {[]byte{0x30, 0x80}, errNotLDAP},
		"an absurd length":       {huge, errTooLarge},
		"a nested message":       {nested(0x30, 900), errMalformed},
		"a nested answer":        {answerOfOne(tagSearchDone, nested(0x30, 900)), errMalformed},
		"a nested entry":         {answerOfOne(tagEntry, encode(0x04, []byte("cn=a")), nested(0x30, 900)), errMalformed},
		"a nested value":         {answerOfOne(tagEntry, encode(0x04), encode(0x30, encode(0x30, encode(0x04), encode(0x31, nested(0x24, 900))))), errMalformed},
		"a nested control":       {answerDone(0, "", encode(0xa0, nested(0x30, 900))), errMalformed},
		"a nested page":          {answerDone(0, "", encode(0xa0, encode(0x30, encode(0x04, []byte(controlPaged)), encode(0x04, nested(0x30, 900))))), errMalformed},
		"a large cookie":         {answerDone(0, "", encode(0xa0, pagedControl(strings.Repeat("x", maxCookie+1)))), errTooLarge},
		"a large result":         {answerDone(50, strings.Repeat("x", maxOther)), errTooLarge},
		"too many values":        {answerEntry("cn=a", many...), errTooLarge},
		"a long name":            {answerEntry(strings.Repeat("x", maxName+1)), errTooLarge},
		"too many entries":       {bytes.Repeat(answerEntry("cn=a"), 3+maxReferences+1), errTooLarge},
		"an answer to a bind":    {bind, errUnasked},
		"to another request":     {encode(0x30, encode(0x02, []byte{9}), encode(tagSearchDone, encode(0x0a, []byte{0}), encode(0x04), encode(0x04))), errUnasked},
		"a number without end":   {encode(0x30, encode(0x02, make([]byte, 9)), encode(tagSearchDone)), errMalformed},
		"a code without end":     {answerOfOne(tagSearchDone, encode(0x0a, make([]byte, 9)), encode(0x04), encode(0x04)), errMalformed},
		"something after it":     {answerDone(0, "", encode(0xa0), encode(0xa0)), errMalformed},
		"half of one":            {answerDone(0, "fine")[:10], endpoint.ErrServerClosed},
		"a notice that it ends":  {encode(0x30, encode(0x02, []byte{0}), encode(tagExtended, encode(0x0a, []byte{52}), encode(0x04), encode(0x04, []byte("secret")))), endpoint.ErrServerClosed},
		"a notice that is wrong": {encode(0x30, encode(0x02, []byte{0}), encode(tagExtended, nested(0x30, 900))), errMalformed},
	} {
		a := searchOf(t, test.stream, 5000)
		if a.err == nil || !errors.Is(a.cause, test.want) {
			t.Errorf("%s: %v, the connection ends by %v", what, a.err, a.cause)
		}
		if a.cause != nil && strings.Contains(a.cause.Error(), "secret") {
			t.Errorf("%s: %v", what, a.cause)
		}
	}
	large := append([]byte{0x30, 0x84, 0x01, 0x00, 0x00, 0x00}, encode(0x02, []byte{1})...)
	large = append(append(large, tagEntry, 0x84, 0x00, 0xff, 0xff, 0xf0), encode(0x04, []byte("cn=large,dc=example"))...)
	if a := searchOf(t, large, 5000); !errors.Is(a.cause, errTooLarge) || !strings.Contains(a.cause.Error(), "cn=large,dc=example") {
		t.Errorf("an entry that is too large: %v", a.cause)
	}
}

// What the server sends when nothing was asked ends the connection.
func TestUnaskedAnswers(t *testing.T) {
	near, far := net.Pipe()
	l := newLink(near, near, Timeouts{}.withDefaults())
	go func() { _, _ = far.Write(answerEntry("cn=a", "one")) }()
	if _, err := l.Read(make([]byte, 100)); !errors.Is(err, errUnasked) {
		t.Errorf("got %v", err)
	}
	_ = far.Close()
}

// A server that sends a byte now and then does not hold the connection for ever.
func TestSlowAnswer(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	l := newLink(near, near, Timeouts{Read: 50 * time.Millisecond})
	go func() {
		for _, b := range append([]byte{0x30, 0x84, 0, 0, 0x10, 0}, make([]byte, 1000)...) {
			if _, err := far.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := l.Read(make([]byte, 100)); !errors.Is(err, errSlow) {
		t.Errorf("got %v", err)
	}
}

// FuzzAnswers holds that whatever a server sends, the library receives nothing but
// whole answers, and finds nothing wrong with them.
func FuzzAnswers(f *testing.F) {
	f.Add(slices.Concat(answerEntry("cn=a", "one", "two"), answerDone(0, "", encode(0xa0, pagedControl("next")))), 3)
	f.Add(answerDone(50, "no"), 1)
	f.Add(answerOfOne(tagReference, encode(0x04, []byte("ldap://x"))), 100)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size < 1 || size > 5000 {
			size = 5000
		}
		a := searchOf(t, stream, size)
		if a.err == nil {
			return
		}
		_, refused := answerOf(a.err)
		if !refused && a.cause == nil {
			t.Errorf("%x: the library says %v", stream, a.err)
		}
		whole := splitter{}
		if err := whole.feed(stream, func([]byte) error { return nil }); err == nil && whole.length > maxMessage {
			t.Errorf("%d bytes are to come", whole.length)
		}
		_, _ = extendedResult(stream)
		_, _ = readMessage(bytes.NewReader(stream))
	})
}

func TestWords(t *testing.T) {
	s := &Session{store: &Store{opts: Options{Password: seal.NewSecret("Geheim-17x")}}}
	for text, want := range map[string]string{
		"size limit exceeded":                             "size limit exceeded",
		"a\x1b[31mb\u202ec\x9bd\xff":                      "a [31mb c d",
		"you sent Geheim-17x":                             "",
		"you sent geheim-17X":                             "",
		"47656865696D2D313778":                            "",
		"you sent R2VoZWltLTE3eA==":                       "",
		"dXNlcjpHZWhlaW0tMTd4Og== was user:password:":     "",
		"eHhHZWhlaW0tMTd4 has something in front of it":   "",
		"a " + strings.Repeat("long word, and more ", 20): "a " + strings.Repeat("long word, and more ", 20)[:158] + "…",
	} {
		if got := s.words(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := s.store.shows("389 Project of Geheim-17x"); got != "" {
		t.Errorf("the server calls itself %q", got)
	}
	s.wrote = true
	if got := s.words("size limit exceeded"); got != "" {
		t.Errorf("after a write: %q", got)
	}
}
