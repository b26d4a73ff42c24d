package imapstore

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7Base64 is base64 with "," for "/" and no padding (RFC 3501, section
// 5.1.3). Strict: leftover bits must be zero, so that one name has one spelling.
var utf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// decodeUTF7 reads modified UTF-7. ok is false for a name that is none; names
// in raw UTF-8, which newer servers send, pass.
func decodeUTF7(name string) (decoded string, ok bool) {
	if !utf8.ValidString(name) {
		return "", false
	}
	var out strings.Builder
	for {
		plain, rest, found := strings.Cut(name, "&")
		out.WriteString(plain)
		if !found {
			break
		}
		coded, after, closed := strings.Cut(rest, "-")
		if !closed {
			return "", false
		}
		if coded == "" {
			out.WriteByte('&')
		} else if !decodeRun(&out, coded) {
			return "", false
		}
		name = after
	}
	decoded = out.String()
	// A name that would be written otherwise than it was read could not be
	// opened again. Raw UTF-8 is written in UTF-7, which such servers read.
	return decoded, true
}

func decodeRun(out *strings.Builder, coded string) bool {
	raw, err := utf7Base64.DecodeString(coded)
	if err != nil || len(raw) == 0 || len(raw)%2 != 0 {
		return false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	for _, r := range utf16.Decode(units) {
		// Printable ASCII must not be coded, a lone surrogate is no rune, and no
		// name holds a NUL.
		if r == 0 || r == utf8.RuneError || (r >= 0x20 && r <= 0x7e) {
			return false
		}
		out.WriteRune(r)
	}
	return true
}

// encodeUTF7 writes modified UTF-7.
func encodeUTF7(name string) string {
	var out strings.Builder
	var run []uint16
	flush := func() {
		if len(run) == 0 {
			return
		}
		raw := make([]byte, 0, 2*len(run))
		for _, u := range run {
			raw = append(raw, byte(u>>8), byte(u))
		}
		out.WriteString("&" + utf7Base64.EncodeToString(raw) + "-")
		run = run[:0]
	}
	for _, r := range name {
		switch {
		case r == '&':
			flush()
			out.WriteString("&-")
		case r >= 0x20 && r <= 0x7e:
			flush()
			out.WriteRune(r)
		default:
			run = utf16.AppendRune(run, r)
		}
	}
	flush()
	return out.String()
}
