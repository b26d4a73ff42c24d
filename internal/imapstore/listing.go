package imapstore

import (
	"bytes"
	"strings"
)

// listing joins LIST, LSUB and STATUS responses by name as they come, within a
// bound. It keeps NAMESPACE and ID responses as they are, and passes over others.
type listing struct {
	bound     listBound
	responses int
	bytes     int64
	// hold, if not nil, waits until so many bytes may be kept.
	hold       func(bytes int64) error
	folders    []*found
	byName     map[string]*found
	subscribed []string
	others     [][]byte
	attributes map[string][]string // equal lists share memory
}

func newListing(bound listBound) *listing {
	return &listing{bound: bound, byName: map[string]*found{}, attributes: map[string][]string{}}
}

// maxAttributeSets bounds the different lists of attributes that share memory.
const maxAttributeSets = 1000

// take implements sink. It keeps nothing of the response's own bytes.
func (l *listing) take(response []byte) error {
	l.responses++
	l.bytes += int64(len(response))
	if l.responses > l.bound.responses || l.bytes > l.bound.bytes {
		return beyond("a list of folders without end", "%d responses and %d MB for one list of folders", l.bound.responses, l.bound.bytes>>20)
	}
	if l.hold != nil {
		if err := l.hold(2*l.bytes + int64(len(l.folders))*folderMemory); err != nil {
			return err
		}
	}
	sc := &scanner{rest: response}
	switch sc.kind() {
	case "LIST":
		one, ok := scanList(sc)
		if !ok {
			return sc.fault()
		}
		l.list(one)
	case "LSUB":
		one, ok := scanList(sc)
		if !ok {
			return sc.fault()
		}
		// Noselect here means that only something below is subscribed
		// (RFC 3501, section 6.3.9).
		if !one.has(`\Noselect`) {
			l.subscribed = append(l.subscribed, nameKey(one.name))
		}
	case "STATUS":
		name, items, ok := scanStatus(sc)
		if !ok {
			return sc.fault()
		}
		if f := l.byName[nameKey(name)]; f != nil {
			f.counters, f.told = counters(items)
		}
	case "NAMESPACE", "ID":
		l.others = append(l.others, bytes.Clone(response))
	}
	return nil
}

func (l *listing) list(one listed) {
	if one.name == "" {
		return
	}
	key := nameKey(one.name)
	if other := l.byName[key]; other != nil { // two patterns found it
		if other.has(`\NonExistent`) && !one.has(`\NonExistent`) {
			// The first was no answer, but told by the way, and overtaken.
			other.listed, other.subscribed = one, one.has(`\Subscribed`)
		}
		return
	}
	set := strings.Join(one.attributes, " ")
	if shared, ok := l.attributes[set]; ok {
		one.attributes = shared
	} else if len(l.attributes) < maxAttributeSets {
		l.attributes[set] = one.attributes
	}
	f := &found{listed: one, decoded: decodeName(one.name), subscribed: one.has(`\Subscribed`)}
	if f.decoded == f.name {
		f.decoded = f.name // one string in place of two
	}
	l.byName[key] = f
	l.folders = append(l.folders, f)
}

// end returns the folders when all answers are there.
func (l *listing) end() []*found {
	for _, key := range l.subscribed {
		if f := l.byName[key]; f != nil {
			f.subscribed = true
		}
	}
	return l.folders
}

// kept keeps responses as they are, maxLine bytes at most.
type kept struct {
	responses [][]byte
	bytes     int
}

// take implements sink.
func (k *kept) take(response []byte) error {
	if k.bytes += len(response) + 100; k.bytes > maxLine {
		return beyond("answers without end", "%d kB to such a command", maxLine>>10)
	}
	k.responses = append(k.responses, bytes.Clone(response))
	return nil
}
