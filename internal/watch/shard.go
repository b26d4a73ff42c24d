package watch

import (
	"cmp"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// How many mailboxes one shard listens to. A shard of notify or poll is one
// connection; one of idle is a connection per mailbox, and small, so that the
// work is spread over the workers and a dead worker's share soon taken over.
const (
	notifyShard = 1000
	idleShard   = 250
)

// Shards is how many shards a link of that many mailboxes has, at least one.
// What auto will choose is not known before a store was asked, so that it
// counts as notify and gives way once the store is known to have none.
func Shards(mode site.ListenMode, mailboxes int) int {
	size := notifyShard
	if mode == site.ListenIdle {
		size = idleShard
	}
	return max(1, (mailboxes+size-1)/size)
}

// ShardOf is the shard, from 0, that listens to a mailbox. With one shard more
// only those mailboxes move that the new one takes (Lamping and Veach, "A
// Fast, Minimal Memory, Consistent Hash Algorithm", 2014).
func ShardOf(n mailbox.Number, shards int) int {
	h := fnv.New64a()
	_, _ = io.WriteString(h, string(n)) // a hash never fails
	key := h.Sum64()
	b, j := int64(-1), int64(0)
	for j < int64(shards) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64((key>>33)+1)))
	}
	return int(max(b, 0))
}

// changing counts those mailboxes of which an event is known.
func changing(numbers []mailbox.Number, last map[mailbox.Number]time.Time) (n int) {
	for _, number := range numbers {
		if !last[number].IsZero() {
			n++
		}
	}
	return n
}

// mostActive returns up to limit mailboxes for a connection each, those whose
// last event is youngest, and the others.
func mostActive(numbers []mailbox.Number, last map[mailbox.Number]time.Time, limit int) (some, others []mailbox.Number) {
	if len(numbers) <= limit {
		return numbers, nil
	}
	sorted := slices.Clone(numbers)
	slices.SortStableFunc(sorted, func(a, b mailbox.Number) int {
		if c := last[b].Compare(last[a]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	return sorted[:limit], sorted[limit:]
}
