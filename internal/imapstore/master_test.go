//go:build integration

package imapstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
	"mailmirror/test/servers"
)

// TestMasterUser: a trusted account that is only Dovecot's master user is asked
// how to listen by acting for a mailbox. It logs in by itself once, and not again
// for a while; a mailbox that is not there is named as such.
func TestMasterUser(t *testing.T) {
	t.Parallel()
	d := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: []string{"1000", "1001"}, TrustedMaster: true})
	store, err := imapstore.New(imapstore.Options{Name: "prod", Address: d.Addr(), Security: site.SecurityNone,
		Login: site.LoginAuthzid, TrustedName: d.TrustedName(), Password: seal.NewSecret(d.TrustedPassword())})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mode, why, err := store.Offer(t.Context(), "1000")
		if err != nil || mode != site.ListenIdle || !strings.Contains(why, "cannot log in by itself") {
			t.Fatalf("offers %s (%s), %v", mode, why, err)
		}
		heard := 0
		err = store.Poll(t.Context(), []mailbox.Number{"1000", "1001"}, nil, func(watch.Report) { heard++ }, func(n mailbox.Number, err error) { t.Error(n, err) },
			func(int, time.Duration) {})
		if err != nil || heard != 2 {
			t.Fatalf("%d mailboxes read in turn, %v", heard, err)
		}
	}
	if _, err := store.Open(t.Context(), "4711"); !fault.Is(err, fault.Permanent) || !strings.Contains(err.Error(), "no such mailbox") {
		t.Errorf("a mailbox that is not there: %v", err)
	}
	// Dovecot writes its log soon after.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		log, err := os.ReadFile(filepath.Join(d.Dir(), "dovecot.log"))
		if err != nil {
			t.Fatal(err)
		}
		failed := strings.Count(string(log), "auth failed")
		if failed > 0 || time.Now().After(deadline) {
			// One by itself, and that of the mailbox that is not there; on a slow
			// machine some more by itself, since each is tried again after 5, 10, 20 s.
			if failed == 0 || failed > 8 {
				t.Errorf("%d logins failed", failed)
			}
			return
		}
	}
}
