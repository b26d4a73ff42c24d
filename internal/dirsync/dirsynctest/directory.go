package dirsynctest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
)

// Directory is one directory in memory: entries below its base, as operations of
// package directory make them. Like a server, it lets two entries have one number, and
// it rejects a change of another version of an entry than the one that it has.
type Directory struct {
	Mapping directory.Mapping
	// OnOpen is asked before a connection is made; an error refuses it.
	OnOpen func() error
	// OnRead is asked before the entry of a DN is read; an error ends the read.
	OnRead func(dn string) error
	// OnWrite is asked before an operation is carried out; an error refuses it.
	OnWrite func(op directory.Operation) error
	// AfterWrite is asked when it is carried out; an error loses the answer.
	AfterWrite func() error
	// OnExtract is called for each entry; an error breaks the extract off.
	OnExtract func(n int) error
	// Unread are the numbers of entries that an extract cannot read.
	Unread map[string]bool
	// NoIDs is true for a server that has no ids of entries.
	NoIDs bool

	mu      sync.Mutex
	entries map[string]*stored // by DN
	next    int
	writes  int
}

type stored struct {
	id, version int
	attributes  map[string][][]byte
}

// NewDirectory returns one without entries, by the default mapping.
func NewDirectory(base string) *Directory {
	m := directory.DefaultMapping()
	m.BaseDN = base
	return &Directory{Mapping: m, entries: map[string]*stored{}, Unread: map[string]bool{}}
}

func (d *Directory) dn(value string) string {
	return d.Mapping.RDN + "=" + value + "," + d.Mapping.BaseDN
}

// Put creates or replaces the entry of a number, with a value for each column.
func (d *Directory) Put(number string, values map[directory.Column]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := map[string][][]byte{d.Mapping.Names[directory.MailboxNumber]: {[]byte(number)}}
	for c, v := range values {
		a[d.Mapping.Names[c]] = [][]byte{[]byte(v)}
	}
	dn := d.dn(string(a[d.Mapping.RDN][0]))
	if e := d.entries[dn]; e != nil {
		d.next++
		e.version, e.attributes = d.next, a
		return
	}
	d.add(dn, a)
}

func (d *Directory) add(dn string, a map[string][][]byte) {
	d.next++
	d.entries[dn] = &stored{id: d.next, version: d.next, attributes: a}
}

// Remove deletes the entries of a number.
func (d *Directory) Remove(number string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dn := range d.named(number) {
		delete(d.entries, dn)
	}
}

// named lists the entries of a number, in the order of their names.
func (d *Directory) named(number string) (dns []string) {
	for _, dn := range slices.Sorted(maps.Keys(d.entries)) {
		if d.entry(dn, d.entries[dn]).Number == number {
			dns = append(dns, dn)
		}
	}
	return dns
}

// Edit changes attributes of the entries of a number, as an administrator does; no value
// removes an attribute. An entry is renamed with its RDN.
func (d *Directory) Edit(number, attribute string, values ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dn := range d.named(number) {
		e := d.entries[dn]
		d.next++
		e.version = d.next
		delete(e.attributes, attribute)
		for _, v := range values {
			e.attributes[attribute] = append(e.attributes[attribute], []byte(v))
		}
		if attribute == d.Mapping.RDN && d.entries[d.dn(values[0])] == nil {
			delete(d.entries, dn)
			d.entries[d.dn(values[0])] = e
		}
	}
}

// Attributes are those of all entries by DN, mapped or not.
func (d *Directory) Attributes() map[string]map[string][][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]map[string][][]byte{}
	for dn, e := range d.entries {
		all[dn] = maps.Clone(e.attributes)
	}
	return all
}

// Has reports whether there is an entry of a number.
func (d *Directory) Has(number string) bool {
	_, there := d.Entries()[number]
	return there
}

// Writes returns how many operations were carried out.
func (d *Directory) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// Entries returns all entries by number.
func (d *Directory) Entries() map[string]directory.Entry {
	all := map[string]directory.Entry{}
	for _, e := range d.List() {
		all[e.Number] = e
	}
	return all
}

// List returns all entries by their names.
func (d *Directory) List() []directory.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []directory.Entry
	for _, dn := range slices.Sorted(maps.Keys(d.entries)) {
		all = append(all, d.entry(dn, d.entries[dn]))
	}
	return all
}

func (d *Directory) id(e *stored) string {
	if d.NoIDs {
		return ""
	}
	return strconv.Itoa(e.id)
}

func (d *Directory) entry(dn string, e *stored) directory.Entry {
	entry := directory.Entry{Ref: directory.Ref{ID: d.id(e), DN: dn, Version: strconv.Itoa(e.version)},
		Values: map[directory.Column][][]byte{}, Tags: map[directory.Column]directory.Tags{}}
	for name, values := range e.attributes {
		base, options := directory.SplitDescription(name)
		for c, mapped := range d.Mapping.Names {
			switch {
			case mapped != base || len(values) == 0:
			case len(options) == 0:
				entry.Values[c] = values
			case entry.Tags[c] == nil:
				entry.Tags[c] = directory.Tags{strings.Join(options, ";"): values}
			default:
				entry.Tags[c][strings.Join(options, ";")] = values
			}
		}
	}
	if n := entry.Values[directory.MailboxNumber]; len(n) > 0 {
		entry.Number = string(n[0])
	}
	entry.Login, entry.Protected = entry.Number, d.Mapping.Protects(entry.Number)
	return entry
}

// Open implements Open of dirsync.Directory.
func (d *Directory) Open(context.Context) (dirsync.Session, error) {
	if d.OnOpen != nil {
		if err := d.OnOpen(); err != nil {
			return nil, err
		}
	}
	return session{d}, nil
}

// session implements dirsync.Session.
type session struct{ d *Directory }

func (s session) Extract(_ context.Context, digest func(directory.Column, []byte) []byte, each func(directory.Record) error) (directory.Extracted, error) {
	x := directory.Extracted{Having: map[directory.Column]int{}}
	for c := range s.d.Mapping.Names {
		x.Having[c] = 0
	}
	for _, e := range s.d.List() {
		if s.d.OnExtract != nil {
			if err := s.d.OnExtract(x.Entries); err != nil {
				return x, err
			}
		}
		x.Entries++
		record := directory.NewRecord(e, digest)
		if s.d.Unread[e.Number] {
			record = directory.Record{Ref: e.Ref, Number: e.Number, Unread: true}
			x.Unread = append(x.Unread, directory.Unread{Number: e.Number, Text: "the server ends the connection", Hint: "see the server's log"})
		} else {
			for c := range e.Values {
				x.Having[c]++
			}
		}
		if err := each(record); err != nil {
			return x, err
		}
	}
	return x, nil
}

func (s session) Read(_ context.Context, ref directory.Ref) (directory.Entry, error) {
	if s.d.OnRead != nil {
		if err := s.d.OnRead(ref.DN); err != nil {
			return directory.Entry{}, err
		}
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for dn, e := range s.d.entries {
		if ref.ID != "" && s.d.id(e) == ref.ID {
			return s.d.entry(dn, e), nil
		}
	}
	if e := s.d.entries[ref.DN]; e != nil {
		return s.d.entry(ref.DN, e), nil
	}
	return directory.Entry{}, fault.New(fault.Permanent, "read entry", directory.ErrNoEntry, "")
}

func (s session) Find(_ context.Context, number string) ([]directory.Entry, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	var found []directory.Entry
	for _, dn := range s.d.named(number) {
		found = append(found, s.d.entry(dn, s.d.entries[dn]))
	}
	return found, nil
}

func (s session) Write(ctx context.Context, op directory.Operation) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.d.OnWrite != nil {
		if err := s.d.OnWrite(op); err != nil {
			return err
		}
	}
	if err := s.d.write(op); err != nil || s.d.AfterWrite == nil {
		return err
	}
	return s.d.AfterWrite()
}

func (d *Directory) write(op directory.Operation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	switch {
	case op.Add != nil:
		if d.entries[op.Add.DN] != nil {
			return fault.Newf(fault.Conflict, "add entry: it is there")
		}
		d.add(op.Add.DN, maps.Clone(op.Add.Attributes))
	case op.Modify != nil:
		err = d.modify(*op.Modify)
	case op.Rename != nil:
		err = d.rename(*op.Rename)
	case op.Delete != nil:
		if _, err = d.find(op.Delete.Ref); err == nil {
			delete(d.entries, op.Delete.DN)
		}
	}
	if err == nil {
		d.writes++
	}
	return err
}

func (d *Directory) modify(m directory.Modify) error {
	e, err := d.find(m.Ref)
	if err != nil {
		return err
	}
	after := maps.Clone(e.attributes)
	for name, values := range m.Replace {
		if after[name] = values; len(values) == 0 {
			delete(after, name)
		}
	}
	parts, _, err := directory.ParseRDN(m.DN)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if !slices.ContainsFunc(after[p.Type], func(v []byte) bool { return bytes.Equal(v, p.Value) }) {
			return fault.Newf(fault.Permanent, "modify entry: not allowed on RDN")
		}
	}
	d.next++
	e.version, e.attributes = d.next, after
	return nil
}

func (d *Directory) rename(r directory.Rename) error {
	e, err := d.find(r.Ref)
	if err != nil {
		return err
	}
	to := r.NewRDN + "," + d.Mapping.BaseDN
	if other := d.entries[to]; other != nil && other != e {
		return fault.Newf(fault.Conflict, "rename entry: another has the name")
	}
	was, _, err := directory.ParseRDN(r.DN)
	if err != nil {
		return err
	}
	parts, _, err := directory.ParseRDN(r.NewRDN)
	if err != nil {
		return err
	}
	for i, p := range parts {
		values := slices.DeleteFunc(slices.Clone(e.attributes[p.Type]), func(v []byte) bool {
			return bytes.Equal(v, was[i].Value) || bytes.Equal(v, p.Value)
		})
		e.attributes[p.Type] = append(values, p.Value)
	}
	delete(d.entries, r.DN)
	d.next++
	e.version = d.next
	d.entries[to] = e
	return nil
}

// find returns the entry that an operation is about, if it is as it was read.
func (d *Directory) find(ref directory.Ref) (*stored, error) {
	e := d.entries[ref.DN]
	if e == nil || ref.ID != "" && ref.ID != d.id(e) || ref.Version != "" && ref.Version != strconv.Itoa(e.version) {
		return nil, fault.Newf(fault.Conflict, "change entry: it is another than it was when it was read, or gone")
	}
	return e, nil
}

func (session) Close() error { return nil }
