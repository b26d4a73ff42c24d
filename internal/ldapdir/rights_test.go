package ldapdir

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
)

// What may not be tried is advice, what is refused is a fault, told once.
func TestRightsTold(t *testing.T) {
	const (
		no      = uint16(ldap.LDAPResultInsufficientAccessRights)
		busy    = uint16(ldap.LDAPResultBusy)
		missing = uint16(ldap.LDAPResultNoSuchAttribute)
		hint    = ": insufficient access rights (50); give the bind DN the right to write below the base DN"
	)
	told := func(kind string, codes ...uint16) Rights {
		tried := trial{entry: directory.Entry{Ref: directory.Ref{DN: "cn=Ann"}}}
		for i, name := range []string{"a", "b", "c"}[:len(codes)] {
			tried.answers = append(tried.answers, answer{name, directory.Column(name), codes[i]})
		}
		return tried.found(&server{name: kind})
	}
	for name, test := range map[string]struct{ got, want Rights }{
		"all":    {told("OpenLDAP", missing, 0, missing), Rights{Writable: []string{"a", "b", "c"}}},
		"two":    {told("389 Project", no, missing, no), Rights{Writable: []string{"b"}, Faults: []string{"as a target, it refuses a (a), c (c)" + hint}}},
		"none":   {told("OpenLDAP", no, no, no), Rights{Faults: []string{"as a target, it takes no change" + hint}}},
		"busy":   {told("OpenLDAP", missing, busy, no), Rights{Writable: []string{"a"}, Faults: []string{"as a target, it refuses c (c)" + hint}, Advice: []string{"whether it takes b (b) cannot be tried: busy (51): the first run tells"}}},
		"silent": {told("OpenLDAP"), Rights{}},
		"another kind": {told("Novell", missing), Rights{Writable: []string{"a"},
			Advice: []string{"whether this kind of server looks at the rights before it looks at values is not known: the first run tells what may be written"}}},
	} {
		test.want.TriedOn = "cn=Ann"
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
