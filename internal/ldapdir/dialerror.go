package ldapdir

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// explainConnect gives every way in which connecting fails its own plain
// sentence, and a hint of what to try.
func (s *Store) explainConnect(ctx context.Context, err error) error {
	op := "connect to the directory of store " + s.opts.Name
	if cause := context.Cause(ctx); cause != nil {
		return fault.New(fault.Transient, op, cause, "")
	}
	if answer, ok := answerOf(err); ok {
		kind, hint := bindAnswer(answer.ResultCode)
		return fault.New(kind, op, endpoint.Sentence("the server refuses the bind: "+codeName(answer.ResultCode), err), hint)
	}
	server := endpoint.Server{Address: s.opts.Address, Connect: s.opts.Timeouts.Connect, CAFlag: "--ldap-ca-file"}
	kind, what, hint := server.Explain(err, s.explainProtocol)
	if what == "" {
		// The library's own words may quote what the server sent.
		kind, what, hint = fault.Transient, "the connection cannot be made", "see the server's log"
	}
	return fault.New(kind, op, endpoint.Sentence(what, err), hint)
}

// bindAnswer tells what a refused bind means (RFC 4511, 4.2.2).
func bindAnswer(code uint16) (kind fault.Kind, hint string) {
	switch code {
	case ldap.LDAPResultInvalidCredentials:
		return fault.Config, "check the bind DN and the password file"
	case ldap.LDAPResultConfidentialityRequired, ldap.LDAPResultStrongAuthRequired:
		return fault.Config, "the server takes passwords only over TLS: use starttls or tls"
	case ldap.LDAPResultInappropriateAuthentication:
		return fault.Config, "the account has no password in the directory, or may not bind with one"
	case ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultNoSuchObject:
		return fault.Config, "check the bind DN"
	case ldap.LDAPResultUnwillingToPerform:
		return fault.Config, "the account may be locked, or its password expired; see the server's log"
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOther, ldap.LDAPResultOperationsError:
		return fault.Transient, "see the server's log"
	}
	return fault.Config, "see the server's log"
}

func (s *Store) explainProtocol(err error) (kind fault.Kind, what, hint string) {
	addr := s.opts.Address
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errNoAnswer):
		return fault.Transient, addr + " accepts the connection and says nothing", "see whether the server hangs; if the port begins with TLS (often 636), use tls"
	case errors.As(err, &record):
		return fault.Config, addr + " does not speak TLS from the first byte", "use starttls, or the server's TLS port (often 636)"
	case errors.Is(err, errHandshake) && !endpoint.IsTimeout(err):
		if s.opts.Security == site.SecurityTLS {
			return fault.Config, addr + " closes the connection when TLS begins",
				"it may speak LDAP without TLS from the first byte: use starttls, or the server's TLS port (often 636)"
		}
		return fault.Transient, "the server breaks the TLS handshake off", "see the server's log"
	case errors.Is(err, errNoStartTLS):
		return fault.Config, addr + " does not offer StartTLS: " + err.Error(), "use tls with the server's TLS port, or none on a trusted network"
	case errors.Is(err, errNotLDAP), errors.Is(err, errTooLarge), errors.Is(err, errMalformed):
		return fault.Config, addr + " does not speak LDAP", "check the port: 389 is usual, 636 with TLS from the first byte"
	case errors.Is(err, errHungUp):
		if s.opts.Security == site.SecurityTLS {
			return fault.Transient, addr + " closes the connection before it says anything", "see the server's log"
		}
		return fault.Transient, addr + " closes the connection before it says anything",
			"if the port begins with TLS (often 636), use tls; otherwise see the server's log"
	}
	return "", "", ""
}
