package imapstore

import (
	"slices"
	"sync"
	"time"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Memory bounds what large answers of all stores together take in this process. The
// bounds of one answer (bounds.go) hold for each session, and a worker has many. What a
// session holds is estimated; up to freeMemory it needs nobody's permission.
//
// If there is no room, a session waits with what it has and reads nothing more, so that
// the server waits as well. The mailbox that has held more than freeMemory for the
// longest time never waits: so somebody always goes on, whatever the others hold.
type Memory struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	holders []*holder // in the order in which they began
	changed chan struct{}
}

// holder is what the sessions of one mailbox hold, on both stores of a link.
type holder struct {
	number mailbox.Number
	bytes  int64
}

const (
	// freeMemory is what each session may hold without asking, in bytes.
	freeMemory = 512 << 10
	// memoryLimit is what all sessions together may hold beyond that, memoryStep by how
	// much a session asks for at a time.
	memoryLimit = 40 << 20
	memoryStep  = 1 << 20
	// memoryWait is how long a session waits for room at the most.
	memoryWait = 10 * time.Minute

	// What a folder of a list, and the metadata of a message, take beside their texts.
	folderMemory  = 300
	messageMemory = 300
)

// NewMemory returns the memory of one process.
func NewMemory() *Memory { return &Memory{limit: memoryLimit, changed: make(chan struct{})} }

var errMemory = fault.New(fault.Transient, "wait until the answers for other large mailboxes are dealt with", nil,
	"Mailmirror bounds what large folders and lists take in memory, and tries this mailbox again; if it happens often, run more workers")

// grow waits until n bytes more may be held for a mailbox, or until dead is closed.
func (m *Memory) grow(number mailbox.Number, n int64, dead <-chan struct{}) error {
	late := time.After(memoryWait)
	for {
		changed := m.try(number, n)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-dead:
			return endpoint.ErrClosed
		case <-late:
			return errMemory
		}
	}
}

// try returns nil if n bytes more are held, otherwise what is closed when to try again.
func (m *Memory) try(number mailbox.Number, n int64) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.holders, func(h *holder) bool { return h.number == number })
	if m.used+n > m.limit && i != 0 && len(m.holders) > 0 {
		return m.changed
	}
	if i < 0 {
		m.holders, i = append(m.holders, &holder{number: number}), len(m.holders)
	}
	m.holders[i].bytes += n
	m.used += n
	return nil
}

// release gives back what a session of a mailbox held.
func (m *Memory) release(number mailbox.Number, n int64) {
	if n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	for i, h := range m.holders {
		if h.number == number {
			if h.bytes -= n; h.bytes <= 0 {
				m.holders = slices.Delete(m.holders, i, i+1)
			}
			break
		}
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// held is what a session holds of large answers. hold is called by its reading
// goroutine alone.
type held struct {
	memory *Memory // nil bounds nothing
	number mailbox.Number

	folders, messages int64 // at the most so far

	mu       sync.Mutex
	reserved int64
	over     bool
}

// holdFolders says that a list of folders has come to so many bytes, and holdMessages
// the metadata of messages. What was held before of the same kind is let go.
func (h *held) holdFolders(bytes int64, dead <-chan struct{}) error {
	h.folders = max(h.folders, bytes)
	return h.settle(dead)
}

func (h *held) holdMessages(bytes int64, dead <-chan struct{}) error {
	h.messages = max(h.messages, bytes)
	return h.settle(dead)
}

func (h *held) settle(dead <-chan struct{}) error {
	lacks := h.folders + h.messages - freeMemory - h.reserved
	if h.memory == nil || lacks <= 0 {
		return nil
	}
	n := (lacks + memoryStep - 1) / memoryStep * memoryStep
	if err := h.memory.grow(h.number, n, dead); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		h.memory.release(h.number, n)
		return endpoint.ErrClosed
	}
	h.reserved += n
	return nil
}

// end gives everything back.
func (h *held) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.memory != nil && !h.over {
		h.memory.release(h.number, h.reserved)
	}
	h.over = true
}
