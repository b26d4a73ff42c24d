package imapstore

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

	"mailmirror/internal/fault"
)

// explainConnect gives every way in which connecting fails its own plain
// sentence, and a hint of what to try. What an operator must mend is Config;
// what a restart of the server brings, too, is Transient.
func (s *Store) explainConnect(err error) error {
	kind, what, hint := s.sentence(err)
	return fault.New(kind, "connect to store "+s.opts.Name, &plainError{what, err}, hint)
}

// plainError is a sentence for people with the cause kept for errors.Is.
type plainError struct {
	text  string
	cause error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.cause }

func (s *Store) sentence(err error) (kind fault.Kind, what, hint string) {
	addr := s.opts.Address
	host, _, _ := net.SplitHostPort(addr)
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		alert    tls.AlertError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fault.Config, fmt.Sprintf("the host name %s is not known", host), "check the spelling and the DNS server"
	case errors.As(err, &dns):
		return fault.Transient, fmt.Sprintf("the DNS server does not answer for %s", host), "try again; check the machine's resolver"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Transient, "nothing listens on " + addr, "check the port, and that the server runs"
	case errors.Is(err, errNoGreeting):
		return fault.Transient, addr + " accepts the connection and says nothing",
			"if the port begins with TLS (often 993), use tls; otherwise see whether the server hangs"
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
			"give the authority's certificate with --ca-file"
	case errors.As(err, &invalid):
		return fault.Config, "the server's certificate is not acceptable: " + invalid.Error(), ""
	case isPlainIMAP(err):
		return fault.Config, addr + " speaks IMAP without TLS from the first byte", "use starttls, or the server's TLS port (often 993)"
	case errors.As(err, &record):
		return fault.Config, addr + " does not speak TLS", "check the port"
	case errors.As(err, &alert):
		return fault.Config, "the server refuses the TLS handshake: " + alert.Error(), ""
	case errors.Is(err, errNotIMAP):
		return fault.Config, addr + " does not speak IMAP", "check the port: 143 is usual, 993 with TLS"
	case errors.Is(err, errRejected):
		return fault.Transient, err.Error(), "see the server's log"
	case errors.Is(err, errPreauth):
		return fault.Config, "the server logs every connection in without asking who it is", "a store must ask for the trusted account"
	case errors.Is(err, errNoStartTLS):
		return fault.Config, addr + " does not offer STARTTLS", "use tls with the server's TLS port, or none on a trusted network"
	case errors.Is(err, errStartTLSRefuse):
		return fault.Transient, err.Error(), "see the server's log"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return fault.Transient, fmt.Sprintf("%s does not answer within %s", addr, s.opts.Timeouts.Connect), "a firewall may drop the packets; check address and route"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fault.Transient, "there is no way to " + addr, "check the network and its routes"
	}
	return fault.Transient, err.Error(), ""
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
