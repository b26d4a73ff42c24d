package servers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// search answers a search: what the server is and the base honestly, mailboxes as the
// mode says.
func (h *HostileLDAP) search(out *bufio.Writer, r ldapRequest) error {
	_, base, rest := splitBER(r.body)
	_, scope, _ := splitBER(rest)
	say := func(b []byte) error { _, err := out.Write(b); return err }
	done := r.result(0x65, 0, "", pageControl(pageValue("")))
	name := string(base)
	atBase := len(scope) == 1 && scope[0] == 0
	switch {
	case name == "":
		vendor := "hostile"
		if h.mode == LDAPTerminal {
			vendor = "\x1b]0;owned\x07\x1b[2J\u202e\u009b31m"
		}
		return say(append(r.entry("", map[string][]string{"objectClass": {"top"}, "vendorName": {vendor}, "vendorVersion": {vendor},
			"supportedControl": {"1.2.840.113556.1.4.319"}}), done...))
	case name == h.Base() && atBase:
		return say(append(r.entry(name, map[string][]string{"objectClass": {"organizationalUnit"}, "entryUUID": {"base"}, "entryCSN": {"1"}}), done...))
	}
	h.mu.Lock()
	written := h.written
	h.mu.Unlock()
	if h.mode == LDAPQuoteSearch || h.mode == LDAPQuoteLater && written {
		return say(r.result(0x65, 50, h.quote()))
	}
	if h.mode == LDAPTerminal {
		return say(r.result(0x65, 50, "\x1b]0;owned\x07\x1b[2J\u202e\u009b31m"))
	}
	if h.mode == LDAPEndlessPages {
		return say(r.result(0x65, 0, "", pageControl(pageValue("again"))))
	}
	if err := h.disturb(out, r); err != nil {
		return err
	}
	for _, number := range h.numbers {
		dn := "MailboxNumber=" + number + "," + h.Base()
		whole := bytes.Contains(r.raw, []byte("objectClass")) && (atBase && strings.EqualFold(name, dn) || !atBase && asksFor(r.raw, number))
		if !whole {
			continue
		}
		err := say(r.entry(dn, map[string][]string{"objectClass": {"umMailbox"}, "MailboxNumber": {number}, "cn": {"Box " + number},
			"entryUUID": {"id-" + number}, "entryCSN": {"1"}}))
		if err != nil {
			return err
		}
	}
	return say(done)
}

// asksFor reports whether a search is for all mailboxes, or for that one.
func asksFor(raw []byte, number string) bool {
	id, byID := equalityOf(raw, "entryUUID")
	value, byNumber := equalityOf(raw, "MailboxNumber")
	return !byID && !byNumber || byID && id == "id-"+number || byNumber && value == number
}

// equalityOf finds the value that a filter asks of an attribute (RFC 4511, 4.5.1.7).
func equalityOf(raw []byte, name string) (value string, found bool) {
	text := berShort(name)
	for at := 0; ; {
		i := bytes.Index(raw[at:], text)
		if i < 0 {
			return "", false
		}
		at += i
		if at >= 2 && raw[at-2] == 0xa3 {
			_, v, _ := splitBER(raw[at+len(text):])
			return string(v), true
		}
		at += len(text)
	}
}

// berShort is a short text as the library writes it.
func berShort(s string) []byte { return append([]byte{0x04, byte(len(s))}, s...) }

// disturb does what the mode is for, before the honest entries of a search.
func (h *HostileLDAP) disturb(out *bufio.Writer, r ldapRequest) error {
	say := func(b []byte) error { _, err := out.Write(b); return err }
	forever := func(b []byte) error {
		for {
			if err := say(b); err != nil {
				return err
			}
		}
	}
	switch h.mode { //nolint:exhaustive // all others search honestly
	case LDAPNestedEntry:
		return say(r.message(0x64, berText("cn=a,"+h.Base()), nested2MB()))
	case LDAPNestedResult:
		return say(r.message(0x65, nested2MB()))
	case LDAPNestedControl:
		return say(r.result(0x65, 0, "", nested2MB()))
	case LDAPNestedPage:
		return say(r.result(0x65, 0, "", pageControl(nested2MB())))
	case LDAPAnnounced:
		begin := append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xf0}, ber(0x02, r.id)...)
		begin = append(append(begin, 0x64, 0x84, 0x7f, 0xff, 0xff, 0xe0), berText("cn=announced,"+h.Base())...)
		return errors.Join(say(begin), forever(make([]byte, 32<<10)))
	case LDAPManyValues:
		set := bytes.Repeat([]byte{0x04, 0x00}, 3_000_000)
		return say(r.message(0x64, berText("cn=a,"+h.Base()), ber(0x30, ber(0x30, berText("cn"), ber(0x31, set)))))
	case LDAPLargeValues:
		large := r.entry("cn=a,"+h.Base(), map[string][]string{"MailboxNumber": {"77"}, "umRecordedName": {strings.Repeat("x", 3<<20)}})
		for range 8 {
			if err := say(large); err != nil {
				return err
			}
		}
	case LDAPManyNames:
		for i := range 40 {
			names := map[string][]string{}
			for j := range 10_000 {
				names[fmt.Sprintf("attribute-%d-%d", i, j)] = []string{"x"}
			}
			if err := say(r.entry("cn=a,"+h.Base(), names)); err != nil {
				return err
			}
		}
	case LDAPEndlessEntries:
		return forever(r.entry("cn=a,"+h.Base(), map[string][]string{"MailboxNumber": {"77"}, "cn": {"x"}}))
	case LDAPEndlessReferences:
		return forever(r.message(0x73, berText("ldap://elsewhere/"+strings.Repeat("x", 10_000))))
	case LDAPEndlessIntermediate:
		return forever(r.message(0x79, ber(0x80, []byte("1.2.3")), ber(0x81, make([]byte, 10_000))))
	case LDAPEndlessCookie:
		return say(r.result(0x65, 0, "", pageControl(pageValue(strings.Repeat("x", 4<<20)))))
	case LDAPUnasked:
		r.id = []byte{0x7f}
		return forever(r.result(0x65, 0, ""))
	case LDAPGarbage:
		return errors.Join(say([]byte("* OK this is no LDAP\r\n")), out.Flush(), io.EOF)
	case LDAPWrongTag:
		return say(r.result(0x61, 0, ""))
	case LDAPDrip:
		for _, b := range r.entry("cn=a,"+h.Base(), map[string][]string{"cn": {strings.Repeat("x", 3_000)}}) {
			if err := errors.Join(say([]byte{b}), out.Flush()); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	case LDAPSilent:
		<-h.ended
		return io.EOF
	}
	return nil
}
