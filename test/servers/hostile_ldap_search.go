package servers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
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
	for i, number := range h.numbers {
		dn := "MailboxNumber=" + number + "," + h.Base()
		entry := map[string][]string{"objectClass": {"umMailbox"}, "MailboxNumber": {number}, "cn": {"Box " + number},
			"entryUUID": {"id-" + number}, "entryCSN": {"1"}}
		if atBase && !strings.EqualFold(name, dn) || !matches(r.filter(), entry) {
			continue
		}
		whole := bytes.Contains(r.raw, berShort("cn"))
		switch {
		case h.mode == LDAPLargeEntry && i == 1 && whole:
			entry["umRecordedName"] = []string{strings.Repeat("x", 5<<20)}
		case h.mode == LDAPCutEntry && i == 1 && whole, h.mode == LDAPCutName && i == 1, h.mode == LDAPCutAll && whole:
			part := r.entry(dn, entry)
			return errors.Join(say(part[:len(part)/2]), out.Flush(), io.EOF)
		}
		if err := say(r.entry(dn, entry)); err != nil {
			return err
		}
	}
	return say(done)
}

// filter is the one of a search (RFC 4511, 4.5.1).
func (r ldapRequest) filter() []byte {
	rest := r.body
	for range 6 { // base, scope, aliases, both limits, types only
		_, _, rest = splitBER(rest)
	}
	return rest
}

// matches evaluates a filter (RFC 4511, 4.5.1.7) for an entry. What it does not know
// is false.
func matches(filter []byte, entry map[string][]string) bool {
	tag, content, _ := splitBER(filter)
	all := func(want bool) bool { // whether no part is other than that
		for len(content) > 0 {
			_, _, rest := splitBER(content)
			if matches(content, entry) != want {
				return false
			}
			content = rest
		}
		return true
	}
	has := func(name []byte, test func(value string) bool) bool {
		for n, values := range entry {
			if strings.EqualFold(n, string(name)) && slices.ContainsFunc(values, test) {
				return true
			}
		}
		return false
	}
	switch tag {
	case 0xa0: // and
		return all(true)
	case 0xa1: // or
		return !all(false)
	case 0xa2: // not
		return !matches(content, entry)
	case 0xa3: // equality
		_, name, rest := splitBER(content)
		_, wanted, _ := splitBER(rest)
		return has(name, func(v string) bool { return strings.EqualFold(v, string(wanted)) })
	case 0xa4: // substrings, of which only the beginning is known
		_, name, rest := splitBER(content)
		_, parts, _ := splitBER(rest)
		tag, begin, _ := splitBER(parts)
		return has(name, func(v string) bool { return tag == 0x80 && strings.HasPrefix(v, string(begin)) })
	case 0x87: // present
		return has(content, func(string) bool { return true })
	}
	return false
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
