package directory

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// AVA is one attribute with its value in a name (RFC 4514, 2.3).
type AVA struct {
	Type  string
	Value []byte
}

var errName = errors.New("the name is none by RFC 4514")

// EscapeValue writes a value so that it stands for itself in a name, byte by byte
// (RFC 4514, 2.4). What is no UTF-8 is written in hex, and so is what separates
// parts of a name, or is not shown.
func EscapeValue(value []byte) string {
	var b strings.Builder
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRune(value[i:])
		c := value[i]
		switch {
		case r == utf8.RuneError && size <= 1, c < ' ', c == 0x7f:
			b.WriteByte('\\')
			b.WriteString(strings.ToUpper(hex.EncodeToString(value[i : i+1])))
		case strings.IndexByte(`"+,;<>\=`, c) >= 0,
			c == '#' && i == 0, c == ' ' && (i == 0 || i == len(value)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.Write(value[i : i+size])
		}
		i += max(size, 1)
	}
	return b.String()
}

// FormatRDN writes a relative name (RFC 4514, 2.2).
func FormatRDN(parts []AVA) string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = p.Type + "=" + EscapeValue(p.Value)
	}
	return strings.Join(out, "+")
}

// DN is a distinguished name (RFC 4514), the entry's own part first. A part has several
// attributes where they are joined by "+".
type DN [][]AVA

// ParseDN parses a name. An empty one is the root, without any part.
func ParseDN(text string) (DN, error) {
	var parsed DN
	if strings.Trim(text, " ") == "" {
		return nil, nil
	}
	for rest := text; ; {
		parts, end, after, err := parseRDN(rest)
		if err != nil {
			return nil, err
		}
		if parsed = append(parsed, parts); end == 0 {
			return parsed, nil
		}
		rest = after
	}
}

// Below reports whether d is somewhere below base, which is not below itself. The names
// of the attributes are not compared, as one attribute has several: ou,
// organizationalUnitName, 2.5.4.11.
func (d DN) Below(base DN) bool {
	folded := func(part []AVA) []string {
		var values []string
		for _, a := range part {
			values = append(values, Fold(string(a.Value)))
		}
		slices.Sort(values)
		return values
	}
	return len(d) > len(base) && slices.EqualFunc(d[len(d)-len(base):], base, func(a, b []AVA) bool {
		return slices.Equal(folded(a), folded(b))
	})
}

// ParseRDN takes the first relative name off a DN. rest is the parent's DN as it
// stands there, "" where there is none.
func ParseRDN(dn string) (parts []AVA, rest string, err error) {
	parts, _, rest, err = parseRDN(dn)
	return parts, rest, err
}

// parseRDN is ParseRDN, and returns what ends the relative name: 0 is the end of the DN.
func parseRDN(dn string) (parts []AVA, end byte, rest string, err error) {
	for {
		name, after, ok := strings.Cut(dn, "=")
		name = strings.TrimSpace(name)
		if !ok || !IsAttributeName(name) {
			return nil, 0, "", errName
		}
		value, end, after, err := parseValue(after)
		if err != nil {
			return nil, 0, "", err
		}
		parts = append(parts, AVA{name, value})
		if dn = after; end != '+' {
			return parts, end, dn, nil
		}
	}
}

// parseValue reads a value up to what ends it: '+', a comma, which may be a
// semicolon (RFC 2253, 4), or 0 at the end.
func parseValue(text string) (value []byte, end byte, rest string, err error) {
	text = strings.TrimLeft(text, " ")
	if strings.HasPrefix(text, "#") {
		i := strings.IndexAny(text, "+,;")
		if i < 0 {
			i = len(text)
		}
		value, err = berValue(strings.TrimRight(text[1:i], " "))
		return value, at(text, i), after(text, i), err
	}
	quoted := strings.HasPrefix(text, `"`)
	i, solid := 0, 0 // solid is the length up to the last byte that is no trailing blank
	if quoted {
		i = 1
	}
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			raw, n, ok := escaped(text[i+1:])
			if !ok {
				return nil, 0, "", errName
			}
			value = append(value, raw)
			solid, i = len(value), i+n
			continue
		case quoted && c == '"':
			rest = strings.TrimLeft(text[i+1:], " ")
			if rest != "" && strings.IndexByte("+,;", rest[0]) < 0 {
				return nil, 0, "", errName
			}
			return value, at(rest, 0), after(rest, 0), nil
		case !quoted && strings.IndexByte("+,;", c) >= 0:
			return value[:solid], c, after(text, i), nil
		case !quoted && strings.IndexByte("\"<>\x00", c) >= 0:
			return nil, 0, "", errName
		}
		if value = append(value, c); c != ' ' {
			solid = len(value)
		}
	}
	if quoted {
		return nil, 0, "", errName
	}
	return value[:solid], 0, "", nil
}

func at(text string, i int) byte {
	if i < len(text) {
		return text[i]
	}
	return 0
}

func after(text string, i int) string {
	if i < len(text) {
		return strings.TrimLeft(text[i+1:], " ")
	}
	return ""
}

// escaped reads what follows a backslash, and how many bytes it took.
func escaped(text string) (b byte, n int, ok bool) {
	if len(text) >= 2 {
		if raw, err := hex.DecodeString(text[:2]); err == nil {
			return raw[0], 2, true
		}
	}
	if text == "" || strings.IndexByte(` "#+,;<=>\`, text[0]) < 0 {
		return 0, 0, false
	}
	return text[0], 1, true
}

// berValue is the content of a string that is written as the hex of its BER.
func berValue(text string) ([]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) < 2 {
		return nil, errName
	}
	length, body := int(raw[1]), raw[2:]
	if length > 0x80 && length <= 0x82 && len(body) >= length-0x80 {
		n := length - 0x80
		length = 0
		for _, b := range body[:n] {
			length = length<<8 | int(b)
		}
		body = body[n:]
	}
	if length != len(body) {
		return nil, errName
	}
	return body, nil
}

// IsAttributeName reports whether a text may name an attribute or a class: a descriptor,
// with underscores as some servers allow, or an OID, with options (RFC 4512, 2.5).
func IsAttributeName(name string) bool {
	base, options, _ := strings.Cut(name, ";")
	if base == "" {
		return false
	}
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	oid := digit(base[0])
	if !oid && !letter(base[0]) {
		return false
	}
	for i := range len(base) {
		c := base[i]
		if oid && !digit(c) && c != '.' || !oid && !letter(c) && !digit(c) && c != '-' && c != '_' {
			return false
		}
	}
	for i := range len(options) {
		if c := options[i]; !letter(c) && !digit(c) && c != '-' && c != ';' {
			return false
		}
	}
	return true
}
