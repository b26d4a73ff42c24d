package copier

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// bodyDigest is what is kept of a whole message that was read.
type bodyDigest struct {
	exact [32]byte
	// kin is the digest of the message in the form in which a message and what
	// servers are known to make of it are the same; see kinWriter.
	kin [32]byte
}

// kinWriter digests a message without what servers are known to alter: every
// kind of line end counts as one, and NUL, in the header also every 8-bit
// character, as one and the same character. Dovecot stores a bare LF as CRLF and
// NUL as 0x80, Cyrus an 8-bit character of a header as X.
type kinWriter struct {
	hash hash.Hash
	buf  []byte
	cr   bool // the last byte was a CR, which stands for a line end already
	line int  // bytes of the current header line
	body bool
}

func newKinWriter() *kinWriter { return &kinWriter{hash: sha256.New()} }

// Write implements io.Writer; it never fails.
func (k *kinWriter) Write(p []byte) (int, error) {
	k.buf = k.buf[:0]
	for _, b := range p {
		switch {
		case b == '\n' && k.cr:
			k.cr = false
			continue
		case b == '\n', b == '\r':
			k.cr = b == '\r'
			k.body = k.body || k.line == 0
			k.line = 0
			k.buf = append(k.buf, '\n')
			continue
		case b == 0, b == 0x80, !k.body && b > 0x80:
			b = 'X'
		}
		k.cr = false
		k.line++
		k.buf = append(k.buf, b)
	}
	k.hash.Write(k.buf)
	return len(p), nil
}

func (k *kinWriter) sum() [32]byte { return [32]byte(k.hash.Sum(nil)) }

// bodyDigests reads whole messages; those that are gone are absent, and so are
// those that cannot be read, of which a *WithheldError tells.
func bodyDigests(ctx context.Context, rd Reader, uids mailbox.UIDSet) (map[mailbox.UID]bodyDigest, error) {
	digests := map[mailbox.UID]bodyDigest{}
	if len(uids) == 0 {
		return digests, nil
	}
	err := rd.Bodies(ctx, uids, func(uid mailbox.UID, _ int64, body io.Reader) error {
		exact, kin := sha256.New(), newKinWriter()
		if _, err := io.Copy(io.MultiWriter(exact, kin), body); err != nil {
			return err
		}
		digests[uid] = bodyDigest{[32]byte(exact.Sum(nil)), kin.sum()}
		return nil
	})
	if withheld, _ := apart(err); withheld != nil {
		for uid := range withheld.UIDs.All() {
			delete(digests, uid)
		}
	}
	return digests, err
}

// recogniseAltered pairs messages that are on both sides and that the target
// altered, where no ledger tells: of the same date, and the same but for what
// servers are known to alter. Without it they would be copied again and their
// first copies deleted. checkFresh tells what is altered of them.
func (f *folderRun) recogniseAltered(ctx context.Context) error {
	source, target := f.unpairedSource().Minus(f.skip), f.unpairedTarget()
	if len(source) == 0 || len(target) == 0 {
		return nil
	}
	if err := f.fetchSource(ctx, source.Minus(knownUIDs(f.source))); err != nil {
		return fault.Wrap(err, "look at source messages without a partner")
	}
	if err := f.fetchTarget(ctx, target.Minus(knownUIDs(f.target))); err != nil {
		return fault.Wrap(err, "look at target messages without a partner")
	}
	s, t := candidates(f.source, source), candidates(f.target, target)
	for _, list := range [][]mirror.Candidate{s, t} {
		for i := range list {
			list[i].Size = 0
		}
	}
	s, t = mirror.Shared(s, t)
	kin := func(d bodyDigest) [32]byte { return d.kin }
	if err := f.sourceWithheld(addBodies(ctx, f.run.source, s, uidsOf(s), kin)); err != nil {
		return fault.Wrap(err, "read source messages without a partner")
	}
	if err := f.targetWithheld(addBodies(ctx, f.run.target, t, uidsOf(t), kin)); err != nil {
		return fault.Wrap(err, "read target messages without a partner")
	}
	s, t = readable(s), readable(t)
	for _, p := range mirror.Match(s, t) {
		f.pairs.Put(p.Source, p.Target)
		f.fresh[p.Source] = sent{odd: true}
	}
	return nil
}

// readable leaves out what could not be read, which is akin to nothing.
func readable(list []mirror.Candidate) []mirror.Candidate {
	var out []mirror.Candidate
	for _, c := range list {
		if c.Body != [32]byte{} {
			out = append(out, c)
		}
	}
	return out
}
