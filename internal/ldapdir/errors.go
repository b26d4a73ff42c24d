package ldapdir

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
)

// answerOf returns the server's answer where err is one. The library uses its
// own numbers, from 200 on, for what is no answer.
func answerOf(err error) (*ldap.Error, bool) {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || e.ResultCode >= ldap.ErrorNetwork {
		return nil, false
	}
	return e, true
}

// isCode reports whether err is an answer with one of the codes.
func isCode(err error, codes ...uint16) bool {
	e, ok := answerOf(err)
	return ok && slices.Contains(codes, e.ResultCode)
}

// codeName is a result code as the servers' manuals call it (RFC 4511, 4.1.9).
func codeName(code uint16) string {
	if name, ok := ldap.LDAPResultCodeMap[code]; ok {
		return fmt.Sprintf("%s (%d)", strings.ToLower(name), code)
	}
	return fmt.Sprintf("result code %d", code)
}

// printable makes a server's text fit for a line of a log: it is cut, and holds
// nothing that a terminal obeys or that changes the direction of what follows.
func printable(s string) string {
	return strings.TrimSpace(endpoint.Printable(strings.ToValidUTF8(s, " ")))
}

// words are what may be shown of the server's own words. A server may quote what
// it received: there are none once this session has sent a write, which holds values,
// or if they hold the password that it bound with.
func (s *Session) words(text string) string {
	if s.wrote {
		return ""
	}
	return s.store.shows(text)
}

// shows returns a server's text as it may be shown; "" if it holds the password.
func (s *Store) shows(text string) string {
	if holds(text, s.opts.Password.Reveal()) {
		return ""
	}
	return printable(text)
}

// holds reports whether a text quotes a secret: as it is, in hexadecimal digits, or
// in Base64, whatever comes before it there.
func holds(text, secret string) bool {
	folded := strings.ToLower(text)
	if strings.Contains(folded, strings.ToLower(secret)) || strings.Contains(folded, hex.EncodeToString([]byte(secret))) {
		return true
	}
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(text)
	for before := range 3 {
		coded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), secret...))
		// Digits that hold bits of what is around it, too, may be others.
		first := (before*8 + 5) / 6
		last := (before + len(secret)) * 8 / 6
		if first < last && strings.Contains(text, coded[first:last]) {
			return true
		}
	}
	return false
}

// op puts the store before what was being done.
func (s *Session) op(what string) string {
	return "directory of store " + s.store.opts.Name + ": " + what
}

// lost classifies the end of a session: whatever is no answer of the server. It is
// Transient, as a write may have been carried out.
func (s *Session) lost(what string, err error) error {
	cause := s.link.Cause()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Transient, s.op(what), err, "")
	case errors.Is(cause, errNotLDAP):
		return fault.New(fault.Transient, s.op(what), cause, "see the server's log; something between may not let LDAP through")
	case errors.Is(cause, errTooLarge):
		return fault.New(fault.Transient, s.op(what), cause, tooLargeHint)
	case errors.Is(cause, errMalformed):
		return fault.New(fault.Transient, s.op(what), cause, "the server is at fault, or something between: see the server's log")
	case errors.Is(cause, endpoint.ErrReadTimeout), errors.Is(cause, endpoint.ErrWriteTimeout), errors.Is(cause, errSlow):
		return &fault.Error{Kind: fault.Transient, Op: s.op(what), Err: cause, Hint: "is the server overloaded? see its log", Silent: true}
	case errors.Is(cause, endpoint.ErrLeaseOver):
		return fault.New(fault.Transient, s.op(what), cause, "")
	case cause != nil && !errors.Is(cause, endpoint.ErrClosed):
		return &fault.Error{Kind: fault.Transient, Op: s.op(what), Err: cause, Hint: "see the server's log", Lost: true}
	}
	return fault.New(fault.Transient, s.op(what), errors.New("the server's answer cannot be read"), "see the server's log")
}

const tooLargeHint = "the server is at fault, or holds values that large: make them smaller there"

// readFailed classifies what a search ended with.
func (s *Session) readFailed(what string, err error) error {
	answer, ok := answerOf(err)
	if !ok {
		lost := s.lost(what, err)
		if cause := s.link.Cause(); errors.Is(lost, errTooLarge) { // it will be as large again
			return fault.New(fault.Config, s.op(what), cause, tooLargeHint)
		}
		return lost
	}
	kind, hint := fault.Config, ""
	switch answer.ResultCode {
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		hint = "raise the size limit of the bind DN on the server (OpenLDAP: olcLimits with size=unlimited; 389: nsSizeLimit, nsPagedSizeLimit and nsLookThroughLimit)"
	case ldap.LDAPResultTimeLimitExceeded:
		kind, hint = fault.Transient, "raise the time limit of the bind DN on the server, or have it index the object class, and what the filter asks for"
	case ldap.LDAPResultNoSuchObject:
		hint = "check the base DN, and that the bind DN may see it"
	case ldap.LDAPResultInsufficientAccessRights:
		hint = "give the bind DN the right to read and search below the base DN"
	case ldap.LDAPResultReferral:
		hint = "name the server that holds the entries itself"
	case ldap.LDAPResultInvalidDNSyntax:
		hint = "check the base DN"
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOperationsError, ldap.LDAPResultOther:
		kind, hint = fault.Transient, "see the server's log"
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultStrongAuthRequired:
		hint = "check the bind DN and the password file"
	}
	text := codeName(answer.ResultCode)
	if answer.Err != nil {
		if said := s.words(answer.Err.Error()); said != "" {
			text += ": " + said
		}
	}
	return fault.New(kind, s.op(what), endpoint.Sentence(text, err), hint)
}
