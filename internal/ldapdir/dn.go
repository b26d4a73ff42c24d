package ldapdir

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"mailmirror/internal/directory"
)

// dn is a parsed distinguished name (RFC 4514), the entry's own part first. It
// is parsed here and not by go-ldap, which turns bytes that are no UTF-8 into
// replacement characters.
type dn []rdn

// rdn is one part of a name; it has several attributes where they are joined
// by "+".
type rdn []ava

// ava is one attribute with its value, unescaped.
type ava struct{ name, value string }

var errDN = errors.New("not a distinguished name")

// parseDN parses a name. An empty string is the root, without any part.
func parseDN(s string) (dn, error) {
	var parsed dn
	var part rdn
	if strings.Trim(s, " ") == "" {
		return nil, nil
	}
	for rest := s; ; {
		a, end, left, err := parseAVA(rest)
		if err != nil {
			return nil, err
		}
		part = append(part, a)
		if end != '+' {
			parsed, part = append(parsed, part), nil
		}
		if end == 0 {
			return parsed, nil
		}
		rest = left
	}
}

// parseAVA parses "name=value" up to the separator behind it, which it returns;
// 0 is the end.
func parseAVA(s string) (a ava, end byte, rest string, err error) {
	name, rest, found := strings.Cut(s, "=")
	a.name = strings.Trim(name, " ")
	if !found || !isDescriptor(a.name) {
		return a, 0, "", errDN
	}
	rest = strings.TrimLeft(rest, " ")
	var value []byte
	kept := 0 // up to where blanks at the end are part of the value
	i := 0
	for ; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '\\':
			b, n, ok := unescape(rest[i+1:])
			if !ok {
				return a, 0, "", errDN
			}
			value = append(value, b)
			i += n
			kept = len(value)
			continue
		case ',', ';', '+':
			end = c
		case '"', '<', '>', 0:
			return a, 0, "", errDN
		default:
			value = append(value, c)
			if c != ' ' {
				kept = len(value)
			}
			continue
		}
		break
	}
	a.value = string(value[:kept])
	if strings.HasPrefix(rest, "#") {
		// RFC 4514, 2.4: the BER encoding in hexadecimal digits.
		raw, err := hex.DecodeString(a.value[1:])
		if err != nil {
			return a, 0, "", errDN
		}
		_, content, more, err := element(raw)
		if err != nil || len(more) > 0 {
			return a, 0, "", errDN
		}
		a.value = string(content)
	}
	if end == 0 {
		return a, 0, "", nil
	}
	return a, end, rest[i+1:], nil
}

// unescape reads what follows a backslash: a special character or two
// hexadecimal digits. It returns how many bytes that were.
func unescape(s string) (b byte, n int, ok bool) {
	if len(s) >= 2 {
		if raw, err := hex.DecodeString(s[:2]); err == nil {
			return raw[0], 2, true
		}
	}
	if len(s) >= 1 && strings.IndexByte(" \"#+,;<=>\\", s[0]) >= 0 {
		return s[0], 1, true
	}
	return 0, 0, false
}

// isDescriptor reports whether s is the name or number of an attribute or class
// (RFC 4512, 1.4: descr, numericoid), with underscores as some servers allow.
func isDescriptor(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '.' || c == '_' || c == ';'):
		default:
			return false
		}
	}
	return s != ""
}

// values are the folded values of a part, in an order of their own. The names
// of the attributes are not compared, as one attribute has several: ou,
// organizationalUnitName, 2.5.4.11.
func (r rdn) values() []string {
	var values []string
	for _, a := range r {
		values = append(values, directory.Fold(a.value))
	}
	slices.Sort(values)
	return values
}

func (r rdn) equal(other rdn) bool { return slices.Equal(r.values(), other.values()) }

// below reports whether d is somewhere below base, which is not below itself.
func (d dn) below(base dn) bool {
	return len(d) > len(base) && slices.EqualFunc(d[len(d)-len(base):], base, rdn.equal)
}
