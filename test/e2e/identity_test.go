//go:build integration

package e2e

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/site"
	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestServerByOtherNames has production's own server be the target of a link by other
// names of it: one that the address shows, and one that only the accounts show.
func TestServerByOtherNames(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	n := "7501"
	r.fill([]string{n}, corpus.Options{Seed: 75, Messages: 6, Greetings: 1, MinSize: 1 << 10, MaxSize: 4 << 10})
	r.startWorker()
	r.add([]string{n})
	r.settle()
	before, err := user.Access(r.production).Read(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}

	_, port, err := net.SplitHostPort(r.toProduction.Addr())
	if err != nil {
		t.Fatal(err)
	}
	name, hidden := r.source+"name", r.source+"hidden"
	r.addStore(name, net.JoinHostPort("localhost", port), r.production)
	r.rejected([]string{"link", "add", r.link + "self", "--source", r.source, "--target", name}, r.source, name, "the same server")
	back := r.link + "back"
	r.linkUntilEnd(back, r.target, name)
	r.rejected([]string{"mailbox", "add", back, n}, "mailbox "+n, "link "+r.link, "mirrored back")

	// Another port of the host may be another server, and so may another address.
	proxy := faults.ProxyT(t, r.production.Addr())
	r.addStore(hidden, proxy.Addr(), r.production)
	back = r.link + "hidden"
	r.linkUntilEnd(back, r.target, hidden)
	r.run("mailbox", "add", back, n)
	box := r.parked(back, n)
	if !strings.Contains(box.Error, "link "+r.link) || !strings.Contains(box.Error, "mirrored back") || box.Hint == "" {
		t.Errorf("mailbox show says %q, hint %q", box.Error, box.Hint)
	}
	for _, c := range faults.OnlyReads(proxy.Commands()) {
		t.Errorf("production was sent %q", c)
	}
	after, err := user.Access(r.production).Read(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range reader.Diff(before, after) {
		t.Errorf("production before and after: %s", d)
	}
	r.settle() // the mailbox's own link goes on
	r.onlyRead()
}

// TestOneAccountInSeveralSpellings: for Dovecot, logins that differ in their case are
// one account. Nothing is mirrored twice, also if the operator says that they are two.
func TestOneAccountInSeveralSpellings(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := []string{"racebox", "second"}
	r.fill(all, corpus.Options{Seed: 76, Messages: 30, Greetings: 1, MinSize: 1 << 10, MaxSize: 2 << 10})
	r.startWorker()
	r.rejected([]string{"mailbox", "add", r.link, "racebox", "RACEBOX", "Racebox"}, "mailbox racebox", "mailbox RACEBOX")
	r.add(all[:1])
	r.settle()
	r.rejected([]string{"mailbox", "add", r.link, "RACEBOX"}, "mailbox racebox", "link "+r.link)

	for _, s := range []string{r.source, r.target} {
		r.run("store", "edit", s, "--login-case", "exact")
	}
	r.add([]string{"RACEBOX"})
	if box := r.parked(r.link, "RACEBOX"); !strings.Contains(box.Error, "mailbox racebox") {
		t.Errorf("mailbox show says %q", box.Error)
	}
	// One of these gets the account, the other one not.
	r.add([]string{"second", "SECOND"})
	r.until("one of two spellings to be mirrored, and the other one to be parked", func() bool {
		a, b := r.mailbox(r.link, "second"), r.mailbox(r.link, "SECOND")
		return a.State == site.StateEqual && b.State == site.StateParked || a.State == site.StateParked && b.State == site.StateEqual
	})
	r.equal(all)
	r.neverDoubled(all)
	r.onlyRead()
}

// addStore adds another store on one of the rig's servers.
func (r *rig) addStore(name, address string, d *servers.Dovecot) {
	r.t.Helper()
	file := filepath.Join(r.dir, name+".password")
	if err := os.WriteFile(file, []byte(d.TrustedPassword()), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.run("store", "add", name, "--imap", address, "--imap-security", "none", "--login", "authzid",
		"--trusted-name", d.TrustedName(), "--trusted-password-file", file)
}

// linkUntilEnd adds a link that goes with the test.
func (r *rig) linkUntilEnd(name, source, target string, flags ...string) {
	r.t.Helper()
	r.run(append([]string{"link", "add", name, "--source", source, "--target", target}, flags...)...)
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), longest)
		defer cancel()
		for ; ; time.Sleep(200 * time.Millisecond) {
			code, out, errs := r.command(ctx, "link", "remove", name)
			if code == 0 {
				return
			}
			if ctx.Err() != nil {
				r.t.Errorf("link %s cannot be removed at the end: %s%s", name, out, errs)
				return
			}
		}
	})
}

// rejected runs a command that must fail and say all of the words.
func (r *rig) rejected(args []string, words ...string) {
	r.t.Helper()
	code, out, errs := r.command(r.t.Context(), args...)
	if code == 0 {
		r.t.Errorf("mailmirror %s was accepted: %s", strings.Join(args, " "), out)
	}
	for _, w := range words {
		if !strings.Contains(errs, w) {
			r.t.Errorf("mailmirror %s says %q, and not %q", strings.Join(args, " "), errs, w)
		}
	}
}

func (r *rig) mailbox(link, number string) (box site.Mailbox) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.run("mailbox", "show", link, number, "-o", "json")), &box); err != nil {
		r.t.Fatal(err)
	}
	return box
}

// parked waits until a mailbox is parked.
func (r *rig) parked(link, number string) (box site.Mailbox) {
	r.t.Helper()
	r.until("mailbox "+number+" of link "+link+" to be parked", func() bool {
		box = r.mailbox(link, number)
		return box.State == site.StateParked
	})
	return box
}
