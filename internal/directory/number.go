package directory

import (
	"strings"
	"unicode/utf8"
)

// NumberSet holds numbers, each as Fold writes it: a directory takes two for the
// same that differ in case or blanks alone.
type NumberSet map[string]bool

// Add puts a number into the set.
func (s NumberSet) Add(number string) { s[Fold(number)] = true }

// Has reports whether a number is in the set, however it is written.
func (s NumberSet) Has(number string) bool { return s[Fold(number)] }

// ProtectedNumbers are the numbers that a mapping's list of what is protected
// names; its filters, in parentheses, are left out.
func ProtectedNumbers(listed []string) NumberSet {
	numbers := NumberSet{}
	for _, p := range listed {
		if !strings.HasPrefix(p, "(") {
			numbers.Add(p)
		}
	}
	return numbers
}

// Protects reports whether a number is one of those that are listed as protected.
// Filters are not asked.
func (m Mapping) Protects(number string) bool { return ProtectedNumbers(m.Protected).Has(number) }

// Fold makes values alike that caseIgnoreMatch takes for the same (RFC 4518,
// 2.3 and 2.6): letters of either case, blanks once or often. Bytes that are no
// UTF-8 stay as they are.
func Fold(value string) string {
	value = strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' }), " ")
	if utf8.ValidString(value) {
		return strings.ToLower(value)
	}
	b := []byte(value)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
