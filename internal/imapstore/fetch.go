package imapstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// maxSetBytes bounds the UID set of one command. Servers refuse long lines:
// Dovecot answers BAD, Cyrus resets the connection.
const maxSetBytes = 7000

// numSet converts a set for go-imap.
func numSet(uids mailbox.UIDSet) imap.UIDSet {
	out := make(imap.UIDSet, len(uids))
	for i, r := range uids {
		out[i] = imap.UIDRange{Start: imap.UID(r.First), Stop: imap.UID(r.Last)}
	}
	return out
}

// UIDs returns every UID of the open folder. Its number must agree with what
// the server says that the folder holds, so that an answer which got lost is
// never taken for an empty folder.
func (s *Session) UIDs(ctx context.Context) (mailbox.UIDSet, error) {
	var uids mailbox.UIDSet
	err := s.run(ctx, "list uids", func() error {
		for range 5 {
			found, err := s.search(&imap.SearchCriteria{})
			if err != nil {
				return err
			}
			if found.Len() > maxMessages {
				return tooManyMessages()
			}
			uids = found
			state := s.client.Mailbox()
			if state == nil {
				return errNoFolder
			}
			if uint32(found.Len()) == state.NumMessages {
				return nil
			}
			// A message came or went meanwhile; the server says so now.
			if err := s.client.Noop().Wait(); err != nil {
				return err
			}
		}
		return fault.New(fault.Transient, "list uids", errors.New("the folder changes too fast, or the server lists it incompletely"), "")
	})
	if err != nil {
		return nil, err
	}
	return uids, nil
}

// search returns the UIDs that match.
func (s *Session) search(criteria *imap.SearchCriteria) (mailbox.UIDSet, error) {
	var options *imap.SearchOptions
	if s.wire.has("ESEARCH") {
		options = &imap.SearchOptions{ReturnAll: true}
	}
	s.wire.startSearch()
	_, err := s.client.UIDSearch(criteria, options).Wait()
	found := s.wire.stopSearch()
	if err != nil {
		return nil, err
	}
	return found, nil
}

// fewRuns is up to how many runs of UIDs are asked for one by one.
const fewRuns = 100

// existing returns those of uids that the open folder still holds. A scattered
// set is asked for as one range, since its gaps would make a line too long.
func (s *Session) existing(uids mailbox.UIDSet) (mailbox.UIDSet, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	ask := uids
	if len(uids) > fewRuns {
		ask = mailbox.UIDSet{{First: uids[0].First, Last: uids[len(uids)-1].Last}}
	}
	found, err := s.search(&imap.SearchCriteria{UID: []imap.UIDSet{numSet(ask)}})
	if err != nil {
		return nil, err
	}
	return found.Intersect(uids), nil
}

// fetch runs one UID FETCH and hands each message's data to each, in the order
// of arrival. each must read the data before it returns; an error of each ends
// the session unless it is Permanent, because the rest of the answer would
// have to be read. It returns what the server said at the end: a NO does not
// mean that all is lost, so that the caller checks what came.
func (s *Session) fetch(uids mailbox.UIDSet, kind fetchKind, changedSince uint64,
	each func(data *imapclient.FetchMessageData) error) (error, error) {
	options := &imap.FetchOptions{UID: true, ChangedSince: changedSince}
	switch kind {
	case fetchMetadata:
		options.Flags, options.InternalDate, options.RFC822Size = true, true, true
	case fetchHeader:
		options.BodySection = []*imap.FetchItemBodySection{{Specifier: imap.PartSpecifierHeader, Peek: true}}
	case fetchBody:
		options.BodySection = []*imap.FetchItemBodySection{{Peek: true}}
	case fetchNone:
	}
	s.wire.expectFetch(kind, uids)
	defer s.wire.expectFetch(fetchNone, nil)
	cmd := s.client.Fetch(numSet(uids), options)
	var eachErr error
	for data := cmd.Next(); data != nil; data = cmd.Next() {
		if eachErr != nil {
			continue
		}
		s.body = nil
		if eachErr = each(data); eachErr != nil && !fault.Is(eachErr, fault.Permanent) {
			// Closing first makes the rest of the answer end at once.
			_ = s.wire.Fail(errAborted)
		}
		if s.body != nil && s.body.broken {
			// The library's reader went on when the literal ended, and asking
			// for more would read the same connection beside it. What is left
			// of the answer is nothing.
			_ = s.wire.Fail(errAborted)
			return nil, cmp.Or(eachErr, io.ErrUnexpectedEOF)
		}
	}
	err := cmd.Close()
	if eachErr != nil {
		return nil, eachErr
	}
	if err != nil && (refusal(err) == nil || s.wire.Cause() != nil) {
		return nil, err
	}
	return err, nil
}

// Messages returns what the store tells of the given messages.
func (s *Session) Messages(ctx context.Context, uids mailbox.UIDSet, changedSince uint64) ([]mailbox.Message, error) {
	if !s.wire.has("CONDSTORE") {
		changedSince = 0
	}
	s.wire.beginMessages()
	var messages []mailbox.Message
	if state := s.client.Mailbox(); state != nil && changedSince == 0 {
		messages = make([]mailbox.Message, 0, min(uids.Len(), int(state.NumMessages), maxMessages))
	}
	var all *copier.WithheldError
	err := s.run(ctx, "read the messages' flags", func() error {
		known := &interned{sets: map[string]mailbox.Flags{}}
		for _, part := range uids.Chunks(maxSetBytes) {
			got, err := s.metadata(part, changedSince, known)
			if messages = append(messages, got...); len(messages) > maxMessages {
				return tooManyMessages()
			}
			if w, ok := errors.AsType[*copier.WithheldError](err); ok {
				all = w.With(all)
				continue
			}
			if err != nil {
				return err
			}
		}
		return all.OrNil()
	})
	if _, withheld := errors.AsType[*copier.WithheldError](err); err != nil && !withheld && !fault.Lost(err) && !fault.Silent(err) {
		return nil, err
	}
	slices.SortFunc(messages, func(a, b mailbox.Message) int { return int(int64(a.UID) - int64(b.UID)) })
	return messages, err
}

// errNoFolder says that a command came to a session without an open folder.
var errNoFolder = errors.New("no folder is open")

func tooManyMessages() error {
	return beyond("a folder of too many messages", "%d messages of a folder", maxMessages)
}

// interned makes equal flag sets share memory, and spares building them.
type interned struct {
	sets  map[string]mailbox.Flags
	bytes int
}

func (in *interned) flags(list []imap.Flag) mailbox.Flags {
	var key []byte
	for _, f := range list {
		key = append(append(key, f...), ' ')
	}
	if flags, ok := in.sets[string(key)]; ok {
		return flags
	}
	names := make([]string, 0, len(list))
	for _, f := range list {
		names = append(names, unescapeFlag(string(f)))
	}
	flags := mailbox.NewFlags(names...)
	in.sets[string(key)] = flags
	in.bytes += 2 * len(key)
	return flags
}

// metadata fetches a part and asks again for what did not come, twice at most.
func (s *Session) metadata(part mailbox.UIDSet, changedSince uint64, known *interned) ([]mailbox.Message, error) {
	var messages []mailbox.Message
	missing := part
	for try := 0; ; try++ {
		var got, broken mailbox.UIDSet
		no, err := s.fetch(missing, fetchMetadata, changedSince, func(data *imapclient.FetchMessageData) error {
			m, whole := readMetadata(data, known)
			if known.bytes > maxFlagSets {
				return beyond("a folder with sets of flags without end", "%d MB of different sets of flags", maxFlagSets>>20)
			}
			if !whole {
				broken.Add(m.UID)
				return nil
			}
			got.Add(m.UID)
			messages = append(messages, m)
			return nil
		})
		if err != nil {
			return messages, err
		}
		missing = missing.Minus(got)
		if changedSince > 0 && no == nil {
			// Silence means unchanged; only what came in part is in doubt.
			missing = broken.Minus(got)
		}
		changedSince = 0
		if s.isWhole(part, messages) {
			return messages, nil
		}
		if missing, err = s.stillThere(missing, try, no); err != nil || len(missing) == 0 {
			return messages, err
		}
	}
}

// isWhole spares the search for the missing where all of a folder was asked for
// and as many messages came as the folder holds.
func (s *Session) isWhole(part mailbox.UIDSet, messages []mailbox.Message) bool {
	state := s.client.Mailbox()
	return state != nil && len(part) == 1 && part[0].First == 1 && len(messages) == int(state.NumMessages)
}

// stillThere returns those of the missing messages that exist and must be
// fetched again. After the third try it is an error.
func (s *Session) stillThere(missing mailbox.UIDSet, try int, no error) (mailbox.UIDSet, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	there, err := s.existing(missing)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	if try < 2 {
		return there, nil
	}
	return nil, s.withheld(there, no)
}

// withheld is the error for messages that exist and that the server does not
// hand out. It stays so until somebody mends the store.
func (s *Session) withheld(there mailbox.UIDSet, no error) error {
	cause := errors.New("the server leaves it out of its answer")
	if r := refusal(no); r != nil {
		cause = errors.New(refused(r))
	}
	return &copier.WithheldError{UIDs: there, Err: fault.New(fault.Permanent,
		fmt.Sprintf("store %s: read message %d", s.store.opts.Name, there[0].First), cause,
		"the message may be damaged on the store; see the server's log")}
}

func readMetadata(data *imapclient.FetchMessageData, known *interned) (mailbox.Message, bool) {
	var m mailbox.Message
	var flags, date, size bool
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.UID = mailbox.UID(item.UID)
		case imapclient.FetchItemDataFlags:
			m.Flags, flags = known.flags(item.Flags), true
		case imapclient.FetchItemDataInternalDate:
			m.InternalDate, date = item.Time, true
		case imapclient.FetchItemDataRFC822Size:
			m.Size, size = item.Size, true
		}
	}
	return m, m.UID != 0 && flags && date && size
}
