//go:build integration

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/test/servers"
)

// hexed writes a value for a DN so that no byte of it means anything (RFC 4514, 2.4).
func hexed(value string) string {
	var b strings.Builder
	for i := range len(value) {
		fmt.Fprintf(&b, "\\%02x", value[i])
	}
	return b.String()
}

// mapping gives a store's directory a mapping, beside its base.
func (r *directoryRig) mapping(store, base, text string) {
	r.t.Helper()
	file := filepath.Join(r.dir, store+".mapping.toml")
	must(r.t, os.WriteFile(file, []byte(text), 0o600))
	r.run("store", "edit", store, "--ldap-base", base, "--ldap-mapping", file)
}

// TestDirectoryNames has entries named by what people are called, with all in it
// that has a meaning in a DN, below a base of that kind. Then the two sides have
// nothing in common any more but the subscribers.
func TestDirectoryNames(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{Access: []string{
		`dn.subtree="ou=mailboxes,dc=example" attrs=userPassword by dn.exact="cn=trusted,dc=example" write by * break`,
	}})
	r.run("link", "edit", r.link, "--participate", "manual") // no messages here
	r.run("guard", "set", r.link, "--directory-remove-count", "0", "--directory-remove-share", "0", "--directory-change-count", "0",
		"--directory-change-share", "0", "--directory-shrink-share", "0")
	within := func(s servers.Directory, ou string) string {
		base := "ou=" + hexed(ou) + "," + s.Base()
		r.apply(s, ldifLine("dn", base)+"objectClass: organizationalUnit\n"+ldifLine("ou", ou)+"\n")
		return base
	}
	base := within(r.from, `Voice, "Mail" + #1`)
	for store, s := range map[string]servers.Directory{r.source: r.from, r.target: r.to} {
		if s != r.from {
			within(s, `Voice, "Mail" + #1`)
		}
		r.mapping(store, base, "rdn = \"cn\"\n")
	}
	r.startWorker()

	named := func(name string) string { return "cn=" + hexed(name) + "," + base }
	person := func(number string, names ...string) string {
		e := aSubscriber(number, "Name"+number)
		e["cn"] = names
		return e.ldif(named(names[0]))
	}
	modify := func(name, attribute string, values ...string) string {
		text := ldifLine("dn", named(name)) + "changetype: modify\nreplace: " + attribute + "\n"
		for _, v := range values {
			text += ldifLine(attribute, v)
		}
		return text + "-\n\n"
	}
	rename := func(from, to string) string {
		return ldifLine("dn", named(from)) + "changetype: modrdn\nnewrdn: cn=" + hexed(to) + "\ndeleteoldrdn: 1\n\n"
	}
	odd := []string{
		`Berg, Anna`, `a+b=c`, `say "hi"`, `back\slash`, `\2C`, `semi;colon`, `<angle>`, `=`, `#hash`, `#04024869`, ` leading`, `trailing `, `  both  `,
		`two  blanks`, `*(star)*`, "Žofie Đorđević", "日本語", "Zoe\u0308 combined", "ö", "line\nbreak", "nul\x00byte", `,+"\;<>=# `,
	}
	// expect runs over changes, after which both sides are equal.
	expect := func(when string, want dirsync.Counts) {
		r.t.Helper()
		run := r.mirror(0)
		if run.Created != want.Created || run.Altered != want.Altered || run.Removed != want.Removed || run.Renumbers > 0 {
			r.t.Errorf("%s: the run is %+v", when, run)
		}
		r.same(when)
		r.idle(when)
	}

	r.scene("names are odd", func(t *testing.T) {
		text := person("2999", "Alpha, the first", "Zeta+")
		for i, name := range odd {
			text += person(fmt.Sprint(2001+i), name)
		}
		r.apply(r.from, text)
		expect("created", dirsync.Counts{Created: len(odd) + 1})
		text = ""
		for i, name := range odd {
			text += modify(name, "sn", fmt.Sprint("changed ", i)) + modify(name, "Misc2", name, "and more")
		}
		r.apply(r.from, text)
		expect("changed", dirsync.Counts{Altered: len(odd)})
	})

	r.scene("odd names change", func(t *testing.T) {
		text := ""
		for _, name := range odd {
			text += rename(name, "x "+name+" ")
		}
		r.apply(r.from, text)
		expect("renamed", dirsync.Counts{Altered: len(odd)})
		text = ""
		for _, name := range odd {
			text += rename("x "+name+" ", name)
		}
		r.apply(r.from, text)
		file := filepath.Join(r.dir, "plan.ldif")
		if code, out, errs := r.command(t.Context(), "directory", "sync", r.link, "--dry-run", "--ldif", file); code != 3 {
			t.Fatalf("dry run: exit code %d\n%s%s", code, out, errs)
		}
		plan, err := os.ReadFile(file)
		must(t, err)
		r.apply(r.to, string(plan))
		expect("renamed back by ldapmodify", dirsync.Counts{})
	})

	r.scene("names change into what the server takes for the same", func(t *testing.T) {
		r.apply(r.from, person("3001", "Anna, Berg")+person("3002", "Zo\u00eb")+person("3003", "Jan  Tal")+person("3004", "Ader, Öl", "zweiter"))
		expect("created", dirsync.Counts{Created: 4})
		r.apply(r.from, rename("Anna, Berg", "ANNA, bERG")+rename("Zo\u00eb", "Zoe\u0308")+rename("Jan  Tal", " Jan Tal ")+rename("Ader, Öl", "aDER, ÖL"))
		expect("renamed", dirsync.Counts{Altered: 4})
	})

	r.scene("two change names, which DR's directory cannot", func(t *testing.T) {
		r.apply(r.from, rename("ANNA, bERG", "on the way")+rename("Jan Tal", "Anna, Berg")+rename("on the way", "jan tal")+rename("ö", "Ö"))
		if run := r.mirror(1); run.Failed != 2 || run.Altered != 1 || run.State != dirsync.Done {
			t.Errorf("the run is %+v", run)
		}
		if out := r.run("errors", r.link); !strings.Contains(out, "3001") || !strings.Contains(out, "3003") || !strings.Contains(out, "already exists") || !strings.Contains(out, "rdn of the mapping") {
			t.Errorf("errors says:\n%s", out)
		}
		// Somebody makes room by hand.
		r.apply(r.to, rename(" Jan Tal ", "on the way"))
		expect("when there is room", dirsync.Counts{Altered: 2})
	})

	r.scene("odd names are removed", func(t *testing.T) {
		text := ""
		for _, name := range odd {
			text += ldifLine("dn", named(name)) + "changetype: delete\n\n"
		}
		r.apply(r.from, text)
		expect("removed", dirsync.Counts{Removed: len(odd)})
	})

	r.scene("nothing is called the same", func(t *testing.T) {
		before := r.subscribers(r.to)
		other := within(r.to, `Standby + 2`)
		var lines strings.Builder
		for _, column := range directory.Attributes() {
			fmt.Fprintf(&lines, "%s = %q\n", column.Column, otherNames[column.Default])
		}
		r.mapping(r.target, other, "object_class = \"inetOrgPerson\"\nrdn = \"employeeNumber\"\nlogin = \"{employeeNumber}\"\n[names]\n"+
			lines.String()+"[needs]\ndescription = [\"made by the mirror\"]\n")
		if code, out, errs := r.command(t.Context(), "store", "check", r.target, "--mailbox", "2001"); code != 0 {
			t.Errorf("store check: exit code %d\n%s%s", code, out, errs)
		}
		people := numbersIn(r.subscribers(r.from))
		expect := func(when string, code int, want dirsync.Counts) {
			t.Helper()
			run := r.mirror(code)
			if run.Created != want.Created || run.Altered != want.Altered || run.Removed != want.Removed || run.Renumbers != want.Renumbers || run.Failed != want.Failed {
				t.Errorf("%s: the run is %+v", when, run)
			}
			if diff := cmp.Diff(elsewhere(r.subscribers(r.from), `ou=Standby \2B 2,`+r.to.Base()), r.entries(r.to, "inetOrgPerson")); code == 0 && diff != "" {
				t.Errorf("%s: production and DR differ (-production +DR):\n%.4000s", when, diff)
			}
			if code == 0 {
				r.idle(when)
			}
		}
		expect("created", 0, dirsync.Counts{Created: len(people)})

		// One has nothing that DR asks of everybody.
		noName := aSubscriber("4001", "Nameless")
		noName["cn"] = []string{"Nameless, Ina"}
		delete(noName, "sn")
		r.apply(r.from, modify("jan tal", "umRecordedName", "\x00\xff")+modify("jan tal", "Password", "pin-other")+modify("jan tal", "Misc2")+
			modify("Zoe\u0308", "sn", "Zoë")+rename("Ader, Öl", "Öl-Ader")+
			ldifLine("dn", named("Zoe\u0308"))+"changetype: modify\nreplace: MailboxNumber\nMailboxNumber: 5002\n-\n\n"+
			noName.ldif(named("Nameless, Ina"))+ldifLine("dn", named("Anna, Berg"))+"changetype: delete\n\n")
		expect("changed", 1, dirsync.Counts{Altered: 2, Renumbers: 1, Removed: 1, Failed: 1})
		if out := r.run("errors", r.link); !strings.Contains(out, "4001") || !strings.Contains(out, "see the mapping") {
			t.Errorf("errors says:\n%s", out)
		}
		r.apply(r.from, modify("Nameless, Ina", "sn", "Ina"))
		expect("a name is given", 0, dirsync.Counts{Created: 1})
		r.noSecrets()
		if diff := cmp.Diff(before, r.subscribers(r.to)); diff != "" {
			t.Errorf("what is elsewhere was changed (-before +after):\n%.4000s", diff)
		}
	})
}

// otherNames are those of production's attributes on a DR whose class is
// inetOrgPerson (RFC 2798). One is not mirrored.
var otherNames = map[string]string{
	"MailboxNumber": "employeeNumber", "Password": "userPassword", "avUmFindMeEnabled": "carLicense", "umRecordedName": "audio",
	"Community": "departmentNumber", "ClassNo": "employeeType", "asciiName": "displayName", "cn": "cn", "sn": "sn", "givenName": "givenName",
	"telephoneNumber": "homePhone", "NumericAddress": "pager", "Misc1": "roomNumber", "Misc2": "title", "Misc3": "", "Misc4": "o",
}

// elsewhere is what production's entries are to be on such a DR, below a base.
func elsewhere(entries map[string]subscriber, base string) map[string]subscriber {
	all := map[string]subscriber{}
	for _, e := range entries {
		dn := "employeeNumber=" + e["mailboxnumber"][0] + "," + base
		all[dn] = subscriber{"dn": {dn}, "objectclass": {"inetOrgPerson"}, "description": {"made by the mirror"}}
		for name, other := range otherNames {
			if values := e[strings.ToLower(name)]; other != "" && len(values) > 0 {
				all[dn][strings.ToLower(other)] = values
			}
		}
	}
	return all
}
