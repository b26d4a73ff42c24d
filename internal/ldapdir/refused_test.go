package ldapdir

import (
	"errors"
	"net"
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

// Of a write whose answer is too large it is not known whether it was carried out. A
// search will be as large again.
func TestTooLargeAnswer(t *testing.T) {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	s := &Session{store: &Store{}, link: newLink(near, near, Timeouts{})}
	_ = s.link.Fail(errTooLarge)
	w := &write{session: s, what: "add an entry"}
	if err := w.failed(errors.New("closed")); !fault.Is(err, fault.Transient) || errors.Is(err, directory.ErrBusy) {
		t.Errorf("a write: %v", err)
	}
	if err := s.readFailed("search", errors.New("closed")); !fault.Is(err, fault.Config) || !errors.Is(err, errTooLarge) {
		t.Errorf("a search: %v", err)
	}
}
