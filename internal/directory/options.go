package directory

import (
	"slices"
	"strings"
)

// SplitDescription splits an attribute description (RFC 4512, 2.5) into the name of
// the attribute and its options. Options have no order, and the case of a letter is
// no difference: they are returned in lower case, sorted, each once.
func SplitDescription(description string) (name string, options []string) {
	name, rest, found := strings.Cut(description, ";")
	if !found {
		return name, nil
	}
	for o := range strings.SplitSeq(strings.ToLower(rest), ";") {
		if o != "" {
			options = append(options, o)
		}
	}
	slices.Sort(options)
	return name, slices.Compact(options)
}

// withOptions adds options to an attribute description; "" are none.
func withOptions(description, options string) string {
	if options == "" {
		return description
	}
	return description + ";" + options
}

// Tags are the values of an attribute that is described with options beside those
// that the mapping names, by these options: sn;lang-de is kept as "lang-de" beside
// sn. Each is an attribute of its own (RFC 4512, 2.5): it has its own values, and a
// single-valued attribute has one of each.
type Tags map[string][][]byte

// tagNames lists the options that any of several tags have, sorted.
func tagNames(all ...Tags) []string {
	var names []string
	for _, t := range all {
		for options, values := range t {
			if len(values) > 0 {
				names = append(names, options)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Tagged lists the options with which an entry has values of a column, sorted.
func (e *Entry) Tagged(column Column) []string { return tagNames(e.Tags[column]) }

// has reports whether an entry has a value of a column, with options or without.
func (e *Entry) has(column Column) bool {
	return len(e.Values[column]) > 0 || len(e.Tagged(column)) > 0
}

// Same reports whether two entries have the same values of a column, whatever
// options they are described with.
func (e *Entry) Same(other *Entry, column Column) bool {
	if !sameSet(e.Values[column], other.Values[column]) {
		return false
	}
	return len(e.differingTags(other, column)) == 0
}

// differingTags lists the options of a column with which two entries have other
// values.
func (e *Entry) differingTags(other *Entry, column Column) []string {
	return slices.DeleteFunc(tagNames(e.Tags[column], other.Tags[column]), func(options string) bool {
		return sameSet(e.Tags[column][options], other.Tags[column][options])
	})
}
