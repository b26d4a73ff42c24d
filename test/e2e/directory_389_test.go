//go:build integration

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/test/servers"
)

// TestDirectoryOn389 mirrors OpenLDAP to 389 Directory Server, which has other
// ids, no version of an entry but the second of its last change, and another
// opinion of DNs.
func TestDirectoryOn389(t *testing.T) {
	t.Parallel()
	to := servers.DS389T(t, servers.DS389Options{})
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{})
	file := filepath.Join(r.dir, "389.ldap-password")
	must(t, os.WriteFile(file, []byte(to.TrustedPassword()), 0o600))
	r.run("store", "edit", r.target, "--ldap", to.Addr(), "--ldap-bind-dn", to.TrustedDN(), "--ldap-password-file", file, "--ldap-base", to.Base())
	r.run("link", "edit", r.link, "--participate", "manual")
	r.run("guard", "set", r.link, "--directory-change-share", "0")
	check := func(parts ...string) {
		t.Helper()
		out := r.run("store", "check", r.target, "--mailbox", "2001")
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("store check does not tell %q:\n%s", part, out)
			}
		}
	}
	check("389", "no entry was found")
	r.startWorker()
	same := func(when string) {
		t.Helper()
		got := r.subscribers(to)
		for _, e := range got { // the server adds the class that every entry has (RFC 4512, 2.4.1)
			e["objectclass"] = slices.DeleteFunc(e["objectclass"], func(class string) bool { return class == "top" })
		}
		if diff := cmp.Diff(r.subscribers(r.from), got); diff != "" {
			t.Errorf("%s: production and DR differ (-production +DR):\n%.4000s", when, diff)
		}
		r.idle(when)
	}
	r.put(r.from, crowd(2001, 20)...)
	rng := rand.New(rand.NewPCG(5, 9))
	for i := range 20 {
		r.put(r.from, randomSubscriber(rng, fmt.Sprint(3001+i)))
	}
	if run := r.mirror(0); run.Created != 40 {
		t.Errorf("the first run is %+v", run)
	}
	same("after the first run")
	check("Misc3, Misc4", "tried on")
	same("after store check")

	for attribute, values := range map[string][]string{
		"Password": {"pin-another"}, "umRecordedName": {strings.Repeat("\x00\xff voice", 3000)}, "cn": {"Über, \"Name\" + #1 ", "Alias"},
		"givenName": {"GIVEN NAME2001"}, "Misc1": {" leading"}, "Misc2": {"b", "a"}, "Misc4": nil,
	} {
		r.replace(r.from, "2001", attribute, values...)
	}
	renumber := func(from, to string) string {
		return ldifLine("dn", dnOf(r.from, from)) + "changetype: modrdn\nnewrdn: MailboxNumber=" + to + "\ndeleteoldrdn: 1\n\n"
	}
	r.apply(r.from, renumber("2002", "2102")+renumber("2003", "9")+renumber("2004", "2003")+renumber("9", "2004"))
	r.remove(r.from, "2005", "3001")
	if run := r.mirror(0); run.Altered != 1 || run.Renumbers != 3 || run.Removed != 2 || run.Created > 0 {
		t.Errorf("the run after changes is %+v", run)
	}
	same("after changes")
	r.noSecrets()
}
