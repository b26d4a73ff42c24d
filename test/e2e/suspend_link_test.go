//go:build integration

package e2e

import (
	"testing"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestSuspendOneLink suspends one of two links. Messages arrive on both productions, and
// the listeners notice them. Only the other link's DR gets them, and nothing that writes
// is sent to this one's before it is resumed.
func TestSuspendOneLink(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	source, target, other := r.source+"other", r.target+"other", r.link+"other"
	r.addStore(source, production.Addr(), production)
	r.addStore(target, dr.Addr(), dr)
	r.linkUntilEnd(other, source, target)
	all := []string{"7901"}
	arrive := func(seed uint64) {
		t.Helper()
		for _, store := range []*servers.Dovecot{r.production, production} {
			o := corpus.Options{Seed: seed, Messages: 4, Greetings: 1, MinSize: 1 << 10, MaxSize: 4 << 10}
			if err := corpus.Fill(t.Context(), user.Access(store), all, o, 1, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	differs := func(a, b *servers.Dovecot) bool {
		t.Helper()
		diffs, err := reader.Compare(t.Context(), user.Access(a), user.Access(b), all, 1)
		if err != nil {
			t.Fatal(err)
		}
		return len(diffs) > 0
	}
	arrive(1)
	r.startWorker()
	r.add(all)
	r.run("mailbox", "add", other, all[0])
	r.appears("before the suspension", all...)
	r.until("the other link to be equal", func() bool { return !differs(production, dr) })

	r.run("suspend", r.link, "--reason", "restore", "--wait")
	commands, bytes := len(r.toDR.Commands()), r.toDR.Appended()
	before := r.mailbox(r.link, all[0]).DirtyGeneration
	arrive(2)
	r.until("the message to be noticed", func() bool { return r.mailbox(r.link, all[0]).DirtyGeneration > before })
	r.until("the other link to be equal", func() bool { return !differs(production, dr) })
	for _, command := range [][]string{{"sync", r.link, all[0]}, {"compare", r.link}, {"ledger", "rebuild", r.link}} {
		r.rejected(command, "link "+r.link+" is suspended", "mailmirror resume "+r.link)
	}
	r.run("compare", other, "--wait")
	if wrote := faults.Writes(r.toDR.Commands()[commands:]); len(wrote) > 0 || r.toDR.Appended() != bytes {
		t.Errorf("while the link is suspended its DR got %d bytes of messages, and %q", r.toDR.Appended()-bytes, wrote)
	}
	if !differs(r.production, r.dr) {
		t.Error("nothing waits for the resumption")
	}
	if now := r.mailbox(r.link, all[0]); now.Failures > 0 {
		t.Errorf("a suspended mailbox counts failures: %+v", now)
	}

	r.run("resume", r.link)
	r.appears("after the resumption", all...)
	r.neverDoubled(all)
	r.onlyRead()
}
