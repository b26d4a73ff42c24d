package control

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// DirectoryEntryView is one mailbox as both directories have it now.
type DirectoryEntryView struct {
	Link   string         `json:"link"`
	Number mailbox.Number `json:"number"`
	// Source and Target are the entries' DNs; none where a side has no entry,
	// several where the number is not unique there.
	Source []string `json:"source"`
	Target []string `json:"target"`
	// SourceLogin and TargetLogin are the IMAP log-ins of the entries, as they give
	// them now; "" where an entry gives none, or there is none.
	SourceLogin string `json:"source_login"`
	TargetLogin string `json:"target_login"`
	// Protected is true where one of the entries is.
	Protected bool                  `json:"protected"`
	Equal     bool                  `json:"equal"`
	Columns   []DirectoryColumnView `json:"columns"`
	// Errors are why the last run has not mirrored what differs, what was given up
	// among them, and why the mailbox itself is not mirrored.
	Errors []site.ErrorEntry `json:"errors,omitempty"`
}

// DirectoryColumnView is one column beside the other side's. Of a secret only is
// told whether there is one; of binary values their sizes.
type DirectoryColumnView struct {
	Column directory.Column `json:"column"`
	Source string           `json:"source"`
	Target string           `json:"target"`
	Equal  bool             `json:"equal"`
}

// ShowDirectory reads one mailbox from both directories, by its number.
func (c *Control) ShowDirectory(ctx context.Context, link string, number mailbox.Number) (DirectoryEntryView, error) {
	op := "show mailbox " + string(number) + " of the directory of link " + link
	if err := checkedNumber(op, number); err != nil {
		return DirectoryEntryView{}, err
	}
	l, err := c.ports.Links.Link(ctx, link)
	if err != nil {
		return DirectoryEntryView{}, err
	}
	if err := c.requireDirectories(ctx, op, l); err != nil {
		return DirectoryEntryView{}, err
	}
	sides, done, err := c.openDirectories(ctx, link)
	if err != nil {
		return DirectoryEntryView{}, fault.Wrap(err, op)
	}
	defer done()
	source, err := sides.Source.Find(ctx, string(number))
	if err != nil {
		return DirectoryEntryView{}, fault.Wrap(err, op)
	}
	target, err := sides.Target.Find(ctx, string(number))
	if err != nil {
		return DirectoryEntryView{}, fault.Wrap(err, op)
	}
	if len(source)+len(target) == 0 {
		return DirectoryEntryView{}, fault.New(fault.NotFound, op+": neither directory has it", nil, "")
	}
	v := DirectoryEntryView{Link: link, Number: number, Source: dns(source), Target: dns(target),
		Columns: columnViews(sides, source, target), SourceLogin: loginOf(source), TargetLogin: loginOf(target)}
	v.Protected = slices.ContainsFunc(slices.Concat(source, target), func(e directory.Entry) bool { return e.Protected })
	v.Equal = len(source) == 1 && len(target) == 1 &&
		!slices.ContainsFunc(v.Columns, func(c DirectoryColumnView) bool { return !c.Equal })
	all, err := c.directoryErrors(ctx, l)
	for _, e := range all {
		if e.Number == number && (!v.Equal || e.Kind == ErrorDirectoryJoin) || e.Kind == ErrorDirectoryRun && !v.Equal {
			v.Errors = append(v.Errors, e)
		}
	}
	return v, fault.Wrap(err, op)
}

// loginOf is the log-in that all entries with a number agree on.
func loginOf(entries []directory.Entry) string {
	if len(entries) == 0 || slices.ContainsFunc(entries, func(e directory.Entry) bool { return e.Login != entries[0].Login }) {
		return ""
	}
	return entries[0].Login
}

func dns(entries []directory.Entry) []string {
	names := []string{}
	for _, e := range entries {
		names = append(names, e.DN)
	}
	return names
}

// columnViews compares the columns that both sides mirror; of several entries
// with one number the first is shown.
func columnViews(sides dirsync.Sides, source, target []directory.Entry) []DirectoryColumnView {
	first := func(entries []directory.Entry) *directory.Entry {
		if len(entries) == 0 {
			return &directory.Entry{}
		}
		return &entries[0]
	}
	views := []DirectoryColumnView{}
	for _, a := range sides.TargetMapping.Mirrored(sides.SourceMapping) {
		s, t := first(source), first(target)
		views = append(views, DirectoryColumnView{Column: a.Column, Source: shownColumn(a, s), Target: shownColumn(a, t), Equal: s.Same(t, a.Column)})
	}
	return views
}

// shownColumn shows the values of a column, those with options behind the others,
// each behind its options.
func shownColumn(a directory.Attribute, e *directory.Entry) string {
	texts := shownValues(a.Nature, e.Values[a.Column])
	for _, options := range e.Tagged(a.Column) {
		for _, text := range shownValues(a.Nature, e.Tags[a.Column][options]) {
			texts = append(texts, ";"+options+": "+text)
		}
	}
	return strings.Join(texts, "; ")
}

func shownValues(n directory.Nature, values [][]byte) []string {
	values = slices.SortedFunc(slices.Values(values), bytes.Compare)
	texts := make([]string, len(values))
	for i, v := range values {
		switch {
		case n == directory.Secret:
			texts[i] = "(hidden)"
		case n == directory.Binary:
			texts[i] = fmt.Sprintf("%d bytes", len(v))
		case !utf8.Valid(v):
			texts[i] = fmt.Sprintf("%q", v)
		default:
			texts[i] = string(v)
		}
	}
	return texts
}
