package ldapdir

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
)

// mapped lists the columns of a mapping in their order.
func mapped(m directory.Mapping) []directory.Column {
	var columns []directory.Column
	for _, a := range directory.Attributes() {
		if m.Names[a.Column] != "" {
			columns = append(columns, a.Column)
		}
	}
	return columns
}

// wanted lists the attributes that an entry is read with.
func (s *Store) wanted(v *server) []string {
	m := s.opts.Mapping
	var names []string
	add := func(name string) {
		if name != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	for _, c := range mapped(m) {
		add(m.Names[c])
	}
	for _, name := range loginNames(m.Login) {
		add(name)
	}
	add(v.id)
	add(v.version)
	return names
}

// sizeOf is how many bytes the values of an entry have.
func sizeOf(e *ldap.Entry) int {
	size := 0
	for _, a := range e.Attributes {
		for _, v := range a.ByteValues {
			size += len(v)
		}
	}
	return size
}

// entry translates an entry. Protected tells only of its number here.
func (s *Store) entry(v *server, e *ldap.Entry) directory.Entry {
	m := s.opts.Mapping
	entry := directory.Entry{Values: map[directory.Column][][]byte{}}
	all := make(map[attributeKey][][]byte, len(e.Attributes))
	for _, a := range e.Attributes {
		if len(a.ByteValues) == 0 {
			continue
		}
		key := v.key(a.Name)
		all[key] = append(all[key], a.ByteValues...)
		switch column, options := v.place(m, a.Name); {
		case column == "":
		case options == "":
			entry.Values[column] = append(entry.Values[column], a.ByteValues...)
		default:
			if entry.Tags == nil {
				entry.Tags = map[directory.Column]directory.Tags{}
			}
			if entry.Tags[column] == nil {
				entry.Tags[column] = directory.Tags{}
			}
			entry.Tags[column][options] = append(entry.Tags[column][options], a.ByteValues...)
		}
	}
	values := func(name string) [][]byte {
		if name == "" {
			return nil
		}
		return all[v.key(name)]
	}
	first := func(name string) string {
		if found := values(name); len(found) > 0 && len(found[0]) <= maxShort {
			return string(found[0])
		}
		return ""
	}
	entry.Ref = directory.Ref{ID: first(v.id), DN: e.DN, Version: first(v.version)}
	entry.Number = s.number(v, e.DN, entry.Values[directory.MailboxNumber])
	entry.Login = login(m.Login, func(name string) string {
		found := values(name)
		switch {
		case v.key(name) == v.key(m.Names[directory.MailboxNumber]):
			return entry.Number
		case len(found) == 1 && len(found[0]) <= maxShort:
			return string(found[0])
		}
		// Values have no order (RFC 4511, 4.1.7): which of several is meant, nobody
		// knows, and it might be another each time.
		return ""
	})
	entry.Protected = s.protected.Has(entry.Number)
	return entry
}

// number is the one by which the mailbox is called: the one value of its
// attribute, of several that in the entry's name; "" where neither tells.
func (s *Store) number(v *server, name string, values [][]byte) string {
	if len(values) == 1 && len(values[0]) <= maxShort {
		return string(values[0])
	}
	parsed, err := directory.ParseDN(name)
	if err != nil || len(parsed) == 0 {
		return ""
	}
	for _, a := range parsed[0] {
		if v.schema.same(a.Type, s.opts.Mapping.Names[directory.MailboxNumber]) {
			// As the entry has it, where only the case is another.
			for _, value := range values {
				if directory.Fold(string(value)) == directory.Fold(string(a.Value)) {
					return string(value)
				}
			}
		}
	}
	return ""
}

// loginNames lists the attributes of a rule for log-ins.
func loginNames(rule string) []string {
	var names []string
	for rest := rule; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return names
		}
		name, after, found := strings.Cut(after, "}")
		if !found {
			return names
		}
		names, rest = append(names, name), after
	}
}

// login fills a rule in. An attribute without a value gives no log-in: part of
// one would be somebody else's.
func login(rule string, value func(name string) string) string {
	var b strings.Builder
	for rest := rule; ; {
		text, after, found := strings.Cut(rest, "{")
		b.WriteString(text)
		if !found {
			return b.String()
		}
		name, after, found := strings.Cut(after, "}")
		if !found {
			return ""
		}
		v := value(name)
		if v == "" {
			return ""
		}
		b.WriteString(v)
		rest = after
	}
}
