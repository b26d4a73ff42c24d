package copiersim

import (
	"context"
	"crypto/sha256"
	"io"
	"strings"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// storePort is a store as one worker reaches it.
type storePort struct {
	k *worker
	s *store
}

func (p *storePort) Open(ctx context.Context, _ mailbox.Number) (copier.Session, error) {
	if err := p.k.gate(ctx); err != nil {
		return nil, err
	}
	opened := p.k.began
	if opened.IsZero() {
		opened = time.Now()
	}
	return &session{k: p.k, s: p.s, opened: opened, deadline: time.Now().Add(time.Hour)}, nil
}

// waiting is an append command that the server has received and whose answer
// the client has not read. The server commits it at its own pace, whether the
// client is alive, paused or gone.
type waiting struct {
	messages []incoming
	at       time.Time // when the server commits it
	done     bool
	lost     bool  // the connection went before the server had it whole
	epoch    int64 // of the lease under which it was sent
}

// incoming is one message of an append command, with its answer once committed.
type incoming struct {
	copier.Incoming
	text   string
	result func(copier.AppendResult)
	answer copier.AppendResult
}

type session struct {
	k        *worker
	s        *store
	name     mailbox.FolderName
	validity uint32 // of the open folder: a session never sees one that took its place
	dead     bool
	opened   time.Time // when its sync began: the engine looks at folders one by one
	deadline time.Time
	queue    []*waiting
	batch    []incoming // of the command that the client has not ended
	serverAt time.Time  // when the server has done all that it received
}

var errCut = &fault.Error{Kind: fault.Transient, Op: "connection reset", Lost: true}

// enter passes the gate and takes the world's lock. A cut loses the call; the
// appends that were under way land, or do not, within maxLate.
func (c *session) enter(ctx context.Context) error {
	if err := c.k.gate(ctx); err != nil {
		c.k.w.mu.Lock()
		c.cut()
		c.k.w.mu.Unlock()
		return err
	}
	w := c.k.w
	w.mu.Lock()
	if !c.dead && w.chaos && w.rng.IntN(1000) < 12 {
		w.faults["cut"]++
		c.cut()
	}
	if c.dead {
		w.mu.Unlock()
		return errCut
	}
	return nil
}

func (c *session) leave() { c.k.w.mu.Unlock() }

// cut ends the connection. Of the appends under way the server has a prefix
// whole, and commits it yet; the rest is lost.
func (c *session) cut() {
	if c.dead {
		return
	}
	c.dead = true
	c.batch = nil // a command without its end stores nothing
	c.k.w.tell("%s loses its %s connection with %d appends", c.k.name, c.s.name, len(c.queue))
	kept := c.k.w.rng.IntN(len(c.queue) + 1)
	for i, q := range c.queue {
		q.lost = i >= kept
		if !q.lost && !q.done {
			c.k.w.faults["late commit"]++
		}
	}
}

// mayWrite checks the lease's deadline as the real connection does. What is written lands
// at once, but for appends.
func (c *session) mayWrite() error {
	if !time.Now().Before(c.deadline) {
		c.k.w.faults["write deadline"]++
		c.cut()
		return fault.Newf(fault.Conflict, "write lease ended")
	}
	c.k.w.ledger.leases.landed(mirrorOfDR, c.k.epoch)
	return nil
}

// write is enter for the calls that change the store.
func (c *session) write(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	if err := c.mayWrite(); err != nil {
		c.leave()
		return err
	}
	return nil
}

func (c *session) folder() (*folder, error) {
	f := c.s.folders[c.name]
	if f == nil || f.validity != c.validity {
		c.dead = true
		return nil, fault.Newf(fault.Transient, "folder is gone")
	}
	return f, nil
}

func (c *session) List(ctx context.Context) ([]mailbox.Folder, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	var out []mailbox.Folder
	for name, f := range c.s.folders {
		out = append(out, mailbox.Folder{Name: name, Selectable: true, Subscribed: f.subscribed, Counters: f.counters(c.s.feat)})
	}
	return out, nil
}

func (c *session) Examine(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, error) {
	if err := c.enter(ctx); err != nil {
		return mailbox.Counters{}, err
	}
	defer c.leave()
	f := c.s.folders[name]
	if f == nil {
		return mailbox.Counters{}, fault.Newf(fault.Permanent, "no such folder")
	}
	c.name, c.validity = name, f.validity
	return f.counters(c.s.feat), nil
}

func (c *session) Select(ctx context.Context, name mailbox.FolderName) (mailbox.Counters, mailbox.Permanent, error) {
	n, err := c.Examine(ctx, name)
	return n, c.s.permanent(), err
}

func (c *session) Unselect(context.Context) error { c.name = ""; return nil }

func (c *session) UIDs(ctx context.Context) (mailbox.UIDSet, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return nil, err
	}
	var out mailbox.UIDSet
	for _, m := range f.messages {
		out.Add(m.uid)
	}
	return out, nil
}

func (c *session) Messages(ctx context.Context, uids mailbox.UIDSet, since uint64) ([]mailbox.Message, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return nil, err
	}
	var out []mailbox.Message
	for _, m := range f.messages {
		if uids.Contains(m.uid) && (since == 0 || !c.s.feat.condstore || m.modseq > since) {
			out = append(out, mailbox.Message{UID: m.uid, Flags: m.flags, Size: int64(len(m.content)), InternalDate: m.date})
		}
	}
	return out, nil
}

func (c *session) Headers(ctx context.Context, uids mailbox.UIDSet) (map[mailbox.UID]copier.Header, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return nil, err
	}
	out := map[mailbox.UID]copier.Header{}
	for _, m := range f.messages {
		if uids.Contains(m.uid) {
			header, _, _ := strings.Cut(m.content, "\r\n\r\n")
			out[m.uid] = copier.Header{Digest: sha256.Sum256([]byte(header)), Identified: strings.Contains(header, "Message-ID:")}
		}
	}
	return out, nil
}

func (c *session) Bodies(ctx context.Context, uids mailbox.UIDSet, each func(mailbox.UID, int64, io.Reader) error) error {
	for uid := range uids.All() {
		if err := c.enter(ctx); err != nil {
			return err
		}
		f, err := c.folder()
		if err != nil {
			c.leave()
			return err
		}
		m := f.find(uid)
		c.leave()
		if m == nil {
			continue
		}
		if err := each(uid, int64(len(m.content)), &literal{c: c, ctx: ctx, text: m.content}); err != nil {
			return err
		}
	}
	return nil
}

// literal yields a message in two parts, between which the connection may go.
type literal struct {
	c    *session
	ctx  context.Context
	text string
	at   int
}

func (l *literal) Read(p []byte) (int, error) {
	if l.at == len(l.text) {
		return 0, io.EOF
	}
	if err := l.c.enter(l.ctx); err != nil {
		return 0, err
	}
	l.c.leave()
	end := len(l.text)
	if l.at == 0 {
		end = (end + 1) / 2
	}
	n := copy(p, l.text[l.at:end])
	l.at += n
	return n, nil
}

func (c *session) Append(ctx context.Context, m copier.Incoming, result func(copier.AppendResult)) error {
	text, err := io.ReadAll(m.Body)
	if err != nil {
		c.k.w.mu.Lock()
		c.cut()
		c.k.w.mu.Unlock()
		return err
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	c.batch = append(c.batch, incoming{Incoming: m, text: string(text), result: result})
	if !c.s.feat.multiappend || m.Alone || len(c.batch) > 3 {
		c.endBatch()
	}
	full := len(c.queue) > 4
	c.leave()
	if full {
		return c.answer(ctx, 1)
	}
	return nil
}

// endBatch ends the append command.
func (c *session) endBatch() {
	if len(c.batch) > 0 {
		c.receive(&waiting{messages: c.batch, epoch: c.k.epoch})
		c.batch = nil
	}
}

// receive queues an append at the server, which takes its time now and then.
func (c *session) receive(q *waiting) {
	w := c.k.w
	pace := 10 * time.Millisecond
	if w.chaos && w.chance(3) {
		pace = maxLate
	}
	now := time.Now()
	q.at = now
	if c.serverAt.After(now) {
		q.at = c.serverAt
	}
	q.at = q.at.Add(time.Duration(1 + w.rng.Int64N(int64(pace))))
	if last := now.Add(maxLate); q.at.After(last) {
		q.at = last.Add(time.Duration(len(c.queue))) // in order still
	}
	c.serverAt = q.at
	c.queue = append(c.queue, q)
	time.AfterFunc(q.at.Sub(now), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !q.lost {
			w.ledger.leases.landed(mirrorOfDR, q.epoch)
			c.commit(q.messages)
			q.done = true
		}
	})
}

func (c *session) Flush(ctx context.Context) error {
	c.k.w.mu.Lock()
	open := len(c.batch) > 0
	c.k.w.mu.Unlock()
	if open {
		if err := c.write(ctx); err != nil {
			return err
		}
		c.endBatch()
		c.leave()
	}
	return c.answer(ctx, 0)
}

// answer reads answers until at most keep appends are without one.
func (c *session) answer(ctx context.Context, keep int) error {
	for len(c.queue) > keep {
		q := c.queue[0]
		time.Sleep(time.Until(q.at) + time.Nanosecond)
		if err := c.enter(ctx); err != nil {
			return err
		}
		c.queue = c.queue[1:]
		c.leave()
		for _, m := range q.messages {
			m.result(m.answer)
		}
	}
	return nil
}

// commit stores the messages of one command, all or none.
func (c *session) commit(messages []incoming) {
	for _, m := range messages {
		if err := c.refusal(m); err != nil {
			for i := range messages {
				messages[i].answer = copier.AppendResult{Err: err, WithOthers: len(messages) > 1}
			}
			return
		}
	}
	for i, m := range messages {
		messages[i].answer = c.store(m)
	}
}

// refusal is why the server does not take a message; nil where it does.
func (c *session) refusal(m incoming) error {
	f := c.s.folders[m.Folder]
	switch {
	case f == nil:
		return fault.Newf(fault.Permanent, "no such folder")
	case f.refusesAll:
		c.s.refused++
		return fault.Newf(fault.Permanent, "no right to append")
	case c.s.refuses(m.Folder, m.text):
		return fault.Newf(fault.Permanent, "message refused")
	case c.s.feat.refusesUrgent && m.Flags.Has("urgent"):
		return fault.Newf(fault.Permanent, "keyword refused")
	}
	return nil
}

// store stores one message, and checks that nothing is doubled by it.
func (c *session) store(m incoming) copier.AppendResult {
	w, name, f := c.k.w, m.Folder, c.s.folders[m.Folder]
	content := c.s.kept(m.text)
	date := c.s.keptDate(m.InternalDate)
	altered := content != m.text || !date.Equal(m.InternalDate)
	uid := c.s.put(name, content, m.Flags, date)
	w.tell("%s appends %s %d %v", c.k.name, name, uid, c.s.folders[name].find(uid))
	if n, most := c.s.countLike(name, c.s.folders[name].find(uid)), w.source.ever[name][m.text]+c.s.ever[name][content]; n > most && !altered {
		w.violate("%s: message %q is there %d times, and was only ever put there %d times", name, content, n, most)
	}
	if !c.s.feat.uidplus {
		return copier.AppendResult{}
	}
	return copier.AppendResult{UID: uid, UIDValidity: f.validity}
}

func (c *session) SetFlags(ctx context.Context, uids mailbox.UIDSet, flags mailbox.Flags) error {
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return err
	}
	if c.s.feat.refusesUrgent && flags.Has("urgent") {
		return fault.Newf(fault.Permanent, "keyword refused")
	}
	for _, m := range f.messages {
		if uids.Contains(m.uid) {
			m.flags, m.modseq = flags, f.bump()
		}
	}
	return nil
}

// Expunge removes messages, and checks that the source does not have them.
func (c *session) Expunge(ctx context.Context, uids mailbox.UIDSet) error {
	if err := c.write(ctx); err != nil {
		return err
	}
	defer c.leave()
	f, err := c.folder()
	if err != nil {
		return err
	}
	for uid := range uids.All() {
		if m := f.find(uid); m != nil {
			c.takeOut(f, m)
		}
	}
	return nil
}

func (c *session) SetWriteDeadline(t time.Time) {
	c.k.w.mu.Lock()
	defer c.k.w.mu.Unlock()
	c.deadline = t
}

func (c *session) Close() error {
	c.k.w.mu.Lock()
	defer c.k.w.mu.Unlock()
	c.cut()
	return nil
}
