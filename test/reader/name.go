package reader

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7 is the base64 of modified UTF-7: "," for "/", no padding (RFC 3501
// section 5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// EncodeName turns a UTF-8 name into modified UTF-7.
func EncodeName(s string) string {
	var b strings.Builder
	var run []rune
	flush := func() {
		if len(run) == 0 {
			return
		}
		var wide []byte
		for _, u := range utf16.Encode(run) {
			wide = append(wide, byte(u>>8), byte(u))
		}
		b.WriteString("&" + utf7.EncodeToString(wide) + "-")
		run = nil
	}
	for _, r := range s {
		switch {
		case r == '&':
			flush()
			b.WriteString("&-")
		case r >= 0x20 && r <= 0x7e:
			flush()
			b.WriteRune(r)
		default:
			run = append(run, r)
		}
	}
	flush()
	return b.String()
}

// DecodeName turns modified UTF-7 into UTF-8. A name that is not valid comes
// back as it is: two stores with the same invalid name are still equal.
func DecodeName(s string) string {
	var b strings.Builder
	for rest := s; rest != ""; {
		i := strings.IndexByte(rest, '&')
		if i < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:i])
		code, after, ok := strings.Cut(rest[i+1:], "-")
		if !ok {
			return s
		}
		rest = after
		if code == "" {
			b.WriteByte('&')
			continue
		}
		wide, err := utf7.DecodeString(code)
		if err != nil || len(wide)%2 != 0 {
			return s
		}
		units := make([]uint16, 0, len(wide)/2)
		for j := 0; j < len(wide); j += 2 {
			units = append(units, uint16(wide[j])<<8|uint16(wide[j+1]))
		}
		text := string(utf16.Decode(units))
		if strings.ContainsRune(text, utf8.RuneError) {
			return s
		}
		b.WriteString(text)
	}
	return b.String()
}

// Namespace is where a store keeps a mailbox's own folders (RFC 2342).
type Namespace struct {
	Prefix    string // such as "INBOX."
	Separator string // empty for a flat store
	Others    []string
}

// Canonical turns a name on the wire into the one that both stores share:
// UTF-8, components joined by "/", and in a component "%2F" for "/" and "%25"
// for "%". foreign is true for folders outside of the mailbox's own namespace.
func (n Namespace) Canonical(wire string) (name string, foreign bool) {
	if strings.EqualFold(wire, "INBOX") {
		return "INBOX", false
	}
	for _, other := range n.Others {
		if other != "" && strings.HasPrefix(wire+n.Separator, other) {
			return "", true
		}
	}
	if n.Prefix != "" {
		short, ok := strings.CutPrefix(wire, n.Prefix)
		if !ok {
			return "", true
		}
		wire = short
	}
	parts := []string{wire}
	if n.Separator != "" {
		parts = strings.Split(wire, n.Separator)
	}
	if n.Prefix != "" && len(parts) == 1 && strings.EqualFold(wire, "INBOX") {
		return fmt.Sprintf("%%%X%s", wire[0], wire[1:]), false // "INBOX.INBOX" is not the inbox
	}
	for i, p := range parts {
		parts[i] = strings.NewReplacer("%", "%25", "/", "%2F").Replace(DecodeName(p))
	}
	return strings.Join(parts, "/"), false
}

// Wire turns a canonical name into the store's own spelling.
func (n Namespace) Wire(canonical string) string {
	if canonical == "INBOX" {
		return canonical
	}
	parts := strings.Split(canonical, "/")
	for i, p := range parts {
		parts[i] = EncodeName(strings.NewReplacer("%2F", "/", "%25", "%", "%49", "I", "%69", "i").Replace(p))
	}
	return n.Prefix + strings.Join(parts, n.Separator)
}

// Quote makes a quoted string of a name or password (RFC 9051 section 4.3).
func Quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
