package ldapdir

import (
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
)

// escapeFilter writes a value for a filter (RFC 4515, 3), every byte that is
// neither letter nor digit as \XX: whatever it is, it is nothing but a value.
func escapeFilter(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "\\%02x", c)
		}
	}
	return b.String()
}

// equals is the filter of the entries that have a value.
func equals(name, value string) string { return "(" + name + "=" + escapeFilter(value) + ")" }

// both joins filters of which all have to hold; empty ones are left out.
func both(filters ...string) string {
	var b strings.Builder
	n := 0
	for _, f := range filters {
		if f != "" {
			b.WriteString(f)
			n++
		}
	}
	if n == 1 {
		return b.String()
	}
	return "(&" + b.String() + ")"
}

// mailboxes is the filter of the entries that are mirrored.
func mailboxes(m directory.Mapping) string {
	filter := m.Filter
	if filter != "" && !strings.HasPrefix(filter, "(") {
		filter = "(" + filter + ")"
	}
	return both(equals("objectClass", m.ObjectClass), filter)
}

// checkFilter says whether a filter can be read.
func checkFilter(filter string) error {
	_, err := ldap.CompileFilter(filter)
	return err
}

// filterNames lists the attributes that a filter asks for, in its order. A
// parenthesis in a value is escaped (RFC 4515, 3), so each one begins an item.
func filterNames(filter string) []string {
	if filter != "" && !strings.HasPrefix(filter, "(") {
		filter = "(" + filter
	}
	var names []string
	for i := range len(filter) {
		if filter[i] != '(' {
			continue
		}
		// The library reads (!a=b) as (!(a=b)), and sends it so.
		item := strings.TrimLeft(filter[i+1:], " &|!")
		if item == "" || item[0] == '(' {
			continue
		}
		end := strings.IndexAny(item, "=~<>:)")
		if end <= 0 {
			continue // a rule for any attribute, as in (:caseIgnoreMatch:=x)
		}
		if name, _, _ := strings.Cut(strings.TrimSpace(item[:end]), ";"); name != "" {
			names = append(names, name)
		}
	}
	return names
}
