package imapstore

import (
	"crypto/tls"
	"errors"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
)

// explainConnect gives every way in which connecting fails its own plain sentence, and
// a hint of what to try.
func (s *Store) explainConnect(err error) error {
	server := endpoint.Server{Address: s.opts.Address, Connect: s.opts.Timeouts.Connect, CAFlag: "--ca-file"}
	kind, what, hint := server.Explain(err, s.explainProtocol)
	if what == "" {
		kind, what = fault.Transient, err.Error()
	}
	return fault.New(kind, "connect to store "+s.opts.Name, endpoint.Sentence(what, err), hint)
}

func (s *Store) explainProtocol(err error) (kind fault.Kind, what, hint string) {
	addr := s.opts.Address
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errNoGreeting):
		return fault.Transient, addr + " accepts the connection and says nothing",
			"if the port begins with TLS (often 993), use tls; otherwise see whether the server hangs"
	case isPlainIMAP(err):
		return fault.Config, addr + " speaks IMAP without TLS from the first byte", "use starttls, or the server's TLS port (often 993)"
	case errors.As(err, &record):
		return fault.Config, addr + " does not speak TLS", "check the port"
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
	}
	return "", "", ""
}
