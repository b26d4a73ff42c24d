package ldapdir

import (
	"errors"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

// Of a server that is busy alone it is certain that it has not carried a write out.
func TestBusyIsCertain(t *testing.T) {
	w := &write{session: &Session{store: &Store{}}, what: "add an entry"}
	for code, certain := range map[uint16]bool{ldap.LDAPResultBusy: true, ldap.LDAPResultUnavailable: false,
		ldap.LDAPResultTimeLimitExceeded: false, ldap.LDAPResultOperationsError: false} {
		err := w.failed(&ldap.Error{ResultCode: code, Err: errors.New("later")})
		if !fault.Is(err, fault.Transient) || errors.Is(err, directory.ErrBusy) != certain {
			t.Errorf("%d is %v", code, err)
		}
	}
}
