package ldapdir

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
)

// failed classifies the end of an operation. What the server says in its own
// words may quote a value, a password even: of it only the names of attributes
// are kept that the operation has.
func (w *write) failed(err error) error {
	answer, ok := answerOf(err)
	if !ok {
		return w.session.lost(w.what, err)
	}
	kind, hint := refusal(answer.ResultCode)
	if w.adds && answer.ResultCode == ldap.LDAPResultNoSuchObject {
		kind, hint = fault.Config, "check the base DN: there is no entry to add one below"
	}
	text := codeName(answer.ResultCode)
	if answer.Err != nil {
		if names := w.mentioned(answer.Err.Error()); len(names) > 0 {
			text += ", about " + strings.Join(names, ", ")
		}
	}
	// The server's own cause is left out, as its text is the server's.
	refused := errors.New(text)
	if answer.ResultCode == ldap.LDAPResultBusy {
		// A proxy that lost its own server says unavailable, and knows no more than
		// we do whether that one has carried the operation out.
		refused = endpoint.Sentence(text, directory.ErrBusy)
	}
	return fault.New(kind, w.session.op(w.what), refused, hint)
}

// refusal is what a refused write means (RFC 4511, A.2; RFC 4528, 3).
func refusal(code uint16) (kind fault.Kind, hint string) {
	switch code {
	case ldap.LDAPResultAssertionFailed, ldap.LDAPResultNoSuchObject:
		return fault.Conflict, ""
	case ldap.LDAPResultEntryAlreadyExists:
		return fault.Conflict, "another entry below the base has the name: give that one another, or name entries by what is theirs alone (rdn of the mapping)"
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultOperationsError:
		return fault.Transient, "see the server's log"
	case ldap.LDAPResultInsufficientAccessRights:
		return fault.Config, "give the bind DN the right to write below the base DN"
	case ldap.LDAPResultUnwillingToPerform:
		return fault.Config, "the server, or this directory of it, may be read-only; see its log"
	case ldap.LDAPResultReferral:
		return fault.Config, "the server is a read-only copy: name the one that takes writes"
	case ldap.LDAPResultOther:
		return fault.Config, "the directory may be full; see the server's log"
	case ldap.LDAPResultAdminLimitExceeded:
		return fault.Config, "see the server's log"
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired,
		ldap.LDAPResultAuthMethodNotSupported, ldap.LDAPResultInappropriateAuthentication:
		return fault.Config, "check the bind DN, the password file and whether the server wants TLS"
	case ldap.LDAPResultUnavailableCriticalExtension:
		return fault.Config, "the server announces the assertion control and refuses it; see its log"
	case ldap.LDAPResultUndefinedAttributeType:
		return fault.Permanent, "the server's schema lacks an attribute, or the server does not know an option of one (OpenLDAP: olcAttributeOptions); see store check"
	case ldap.LDAPResultInvalidAttributeSyntax, ldap.LDAPResultConstraintViolation:
		return fault.Permanent, "the server does not take a value; correct it on the source, or the rule on the target"
	case ldap.LDAPResultObjectClassViolation:
		return fault.Permanent, "a new entry needs other attributes or classes; see the mapping"
	case ldap.LDAPResultNotAllowedOnNonLeaf:
		return fault.Permanent, "there are entries below it; delete them first"
	}
	return fault.Permanent, ""
}

// mentioned lists which of the operation's attributes a text is about.
func (w *write) mentioned(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == ';')
	})
	var names []string
	for _, name := range slices.Sorted(maps.Keys(w.values)) {
		if slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(strings.Trim(word, ";"), name) }) {
			names = append(names, name)
		}
	}
	return names
}
