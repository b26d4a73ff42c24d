package ldapdir

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/fault"
)

// plainError is a sentence for people with the cause kept for errors.Is.
type plainError struct {
	text  string
	cause error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.cause }

// explainConnect gives every way in which connecting fails its own plain
// sentence, and a hint of what to try. What an operator must mend is Config;
// what a restart of the server brings, too, is Transient.
func (s *Store) explainConnect(ctx context.Context, err error) error {
	op := "connect to the directory of store " + s.opts.Name
	if cause := context.Cause(ctx); cause != nil {
		return fault.New(fault.Transient, op, cause, "")
	}
	if answer, ok := answerOf(err); ok {
		kind, hint := bindAnswer(answer.ResultCode)
		return fault.New(kind, op, &plainError{"the server refuses the bind: " + codeName(answer.ResultCode), err}, hint)
	}
	for _, explain := range []func(error) (fault.Kind, string, string){s.explainNetwork, s.explainTLS, s.explainProtocol} {
		if kind, what, hint := explain(err); what != "" {
			return fault.New(kind, op, &plainError{what, err}, hint)
		}
	}
	// The library's own words may quote what the server sent.
	return fault.New(fault.Transient, op, &plainError{"the connection cannot be made", err}, "see the server's log")
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

func (s *Store) explainNetwork(err error) (kind fault.Kind, what, hint string) {
	addr := s.opts.Address
	host, _, _ := net.SplitHostPort(addr)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fault.Config, fmt.Sprintf("the host name %s is not known", host), "check the spelling and the DNS server"
	case errors.As(err, &dns):
		return fault.Transient, fmt.Sprintf("the DNS server does not answer for %s", host), "try again; check the machine's resolver"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Transient, "nothing listens on " + addr, "check the port, and that the server runs"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fault.Transient, "there is no way to " + addr, "check the network and its routes"
	case errors.Is(err, errNoAnswer):
		return fault.Transient, addr + " accepts the connection and says nothing", "see whether the server hangs; if the port begins with TLS (often 636), use tls"
	}
	return "", "", ""
}

func (s *Store) explainTLS(err error) (kind fault.Kind, what, hint string) {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		alert    tls.AlertError
	)
	switch {
	case errors.As(err, &hostname):
		return fault.Config, fmt.Sprintf("the certificate is not for the name %s", hostname.Host),
			"use the name that the certificate carries" + certificateNames(hostname.Certificate)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		when := ""
		if invalid.Cert != nil {
			when = " on " + invalid.Cert.NotAfter.UTC().Format(time.DateOnly)
			if time.Now().Before(invalid.Cert.NotBefore) {
				return fault.Config, "the certificate is valid only from " + invalid.Cert.NotBefore.UTC().Format(time.DateOnly), "check this machine's clock"
			}
		}
		return fault.Config, "the server's certificate has expired" + when, "renew it on the server; check this machine's clock"
	case errors.As(err, &unknown):
		return fault.Config, "the server's certificate comes from an authority that this machine does not know",
			"give the authority's certificate with --ldap-ca-file"
	case errors.As(err, &invalid):
		return fault.Config, "the server's certificate is not acceptable: " + printable(invalid.Error()), ""
	case errors.As(err, &record):
		return fault.Config, s.opts.Address + " does not speak TLS from the first byte", "use starttls, or the server's TLS port (often 636)"
	case errors.As(err, &alert):
		return fault.Config, "the server refuses the TLS handshake: " + alert.Error(), ""
	case errors.Is(err, errHandshake) && !isTimeout(err):
		if s.opts.Security == SecurityTLS {
			return fault.Config, s.opts.Address + " closes the connection when TLS begins",
				"it may speak LDAP without TLS from the first byte: use starttls, or the server's TLS port (often 636)"
		}
		return fault.Transient, "the server breaks the TLS handshake off", "see the server's log"
	}
	return "", "", ""
}

func (s *Store) explainProtocol(err error) (kind fault.Kind, what, hint string) {
	addr := s.opts.Address
	switch {
	case errors.Is(err, errNoStartTLS):
		return fault.Config, addr + " does not offer StartTLS: " + err.Error(), "use tls with the server's TLS port, or none on a trusted network"
	case errors.Is(err, errNotLDAP), errors.Is(err, errTooLarge), errors.Is(err, errMalformed):
		return fault.Config, addr + " does not speak LDAP", "check the port: 389 is usual, 636 with TLS from the first byte"
	case errors.Is(err, errHungUp):
		if s.opts.Security == SecurityTLS {
			return fault.Transient, addr + " closes the connection before it says anything", "see the server's log"
		}
		return fault.Transient, addr + " closes the connection before it says anything",
			"if the port begins with TLS (often 636), use tls; otherwise see the server's log"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return fault.Transient, fmt.Sprintf("%s does not answer within %s", addr, s.opts.Timeouts.Connect), "a firewall may drop the packets; check address and route"
	}
	return "", "", ""
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// certificateNames lists at most three names of a certificate, for a hint.
func certificateNames(cert *x509.Certificate) string {
	if cert == nil || len(cert.DNSNames) == 0 {
		return ""
	}
	names := slices.Clone(cert.DNSNames)
	if len(names) > 3 {
		names = append(names[:3], "…")
	}
	return " (" + printable(strings.Join(names, " ")) + ")"
}
