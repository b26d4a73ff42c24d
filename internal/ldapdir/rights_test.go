package ldapdir

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
	"mailmirror/internal/verdict"
)

// What may not be tried is advice, what is refused is a fault, told once.
func TestRightsTold(t *testing.T) {
	const (
		no      = uint16(ldap.LDAPResultInsufficientAccessRights)
		busy    = uint16(ldap.LDAPResultBusy)
		missing = uint16(ldap.LDAPResultNoSuchAttribute)
		hint    = ": insufficient access rights (50); give the bind DN the right to write below the base DN"
	)
	told := func(answers ...answer) verdict.Rights {
		tried := trial{first: "cn=Ann", answers: answers}
		for i := range answers {
			answers[i].attribute, answers[i].column = "abc"[i:i+1], directory.Column("ABC"[i:i+1])
		}
		return tried.found()
	}
	once := func(code uint16) answer { return answer{code: code, tries: 1} }
	for name, test := range map[string]struct{ got, want verdict.Rights }{
		"all":        {told(once(missing), once(0), once(missing)), verdict.Rights{Writable: []string{"a", "b", "c"}}},
		"one of all": {told(once(no), once(missing), once(no)), verdict.Rights{Writable: []string{"b"}, Faults: []string{"as a target, it refuses a (A), c (C)" + hint}}},
		"none":       {told(once(no), once(no), once(no)), verdict.Rights{Faults: []string{"as a target, it takes no change" + hint}}},
		"busy": {told(once(missing), once(busy), once(no)), verdict.Rights{Writable: []string{"a"}, Faults: []string{"as a target, it refuses c (C)" + hint},
			Advice: []string{"whether it takes b (B) cannot be tried: busy (51): the first run tells"}}},
		"of some entries": {told(once(missing), answer{code: missing, tries: 2}), verdict.Rights{Writable: []string{"a", "b"},
			Advice: []string{"as a target, it takes b (B) of some entries, and did not of cn=Ann"}}},
		"broken off": {told(once(no), answer{}), verdict.Rights{Faults: []string{"as a target, it refuses a (A)" + hint}}},
	} {
		test.want.TriedOn = "cn=Ann"
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
