package endpoint

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

// Sentence returns an error that reads as the text, with the cause kept for errors.Is.
func Sentence(text string, cause error) error { return &sentence{text, cause} }

type sentence struct {
	text  string
	cause error
}

func (s *sentence) Error() string { return s.text }
func (s *sentence) Unwrap() error { return s.cause }

// Server is a server that could not be reached.
type Server struct {
	Address string
	Connect time.Duration // how long reaching it may take
	CAFlag  string        // the flag of the command that gives its authority's certificate
}

// Explain gives every way in which a server is not reached a sentence of its own, and a
// hint of what to try; those of the protocol come from own. What is "" if neither knows
// the error. What an operator must mend is Config; what a restart of the server brings,
// too, is Transient.
func (s Server) Explain(err error, own func(error) (kind fault.Kind, what, hint string)) (kind fault.Kind, what, hint string) {
	host, _, _ := net.SplitHostPort(s.Address)
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		alert    tls.AlertError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fault.Config, fmt.Sprintf("the host name %s is not known", host), "check the spelling and the DNS server"
	case errors.As(err, &dns):
		return fault.Transient, fmt.Sprintf("the DNS server does not answer for %s", host), "try again; check the machine's resolver"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Transient, "nothing listens on " + s.Address, "check the port, and that the server runs"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fault.Transient, "there is no way to " + s.Address, "check the network and its routes"
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
			"give the authority's certificate with " + s.CAFlag
	case errors.As(err, &invalid):
		return fault.Config, "the server's certificate is not acceptable: " + Printable(invalid.Error()), ""
	case errors.As(err, &alert):
		return fault.Config, "the server refuses the TLS handshake: " + alert.Error(), ""
	}
	if kind, what, hint = own(err); what != "" {
		return kind, what, hint
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || IsTimeout(err) {
		return fault.Transient, fmt.Sprintf("%s does not answer within %s", s.Address, s.Connect), "a firewall may drop the packets; check address and route"
	}
	return "", "", ""
}

// IsTimeout reports an error of the network that is the end of a time limit.
func IsTimeout(err error) bool {
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
	return " (" + Printable(strings.Join(names, " ")) + ")"
}

// shownMax is how many bytes of a server's text are shown.
const shownMax = 160

// Printable makes a text of others fit for a line of a log or terminal: it cuts
// it, and leaves only what is printed.
func Printable(s string) string {
	if len(s) <= shownMax {
		return fault.Plain(s)
	}
	return fault.Plain(strings.ToValidUTF8(s[:shownMax], "")) + "…"
}
