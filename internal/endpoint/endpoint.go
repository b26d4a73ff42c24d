// Package endpoint reaches the servers of the stores, whatever they speak: it checks
// their addresses, prepares TLS, dials, and says in plain sentences why a server is not
// reached.
package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// Dial makes a connection as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Validate tells bad what is wrong with the address of a server and with how the
// connection to it is protected. An example is an address that is right.
func Validate(address, example string, security site.Security, bad func(what, hint string)) {
	host, port, err := net.SplitHostPort(address)
	if n, perr := strconv.Atoi(port); err != nil || host == "" || perr != nil || n < 1 || n > 65535 {
		bad("address "+strconv.Quote(address)+" is not host:port", "for instance "+example)
	}
	switch security {
	case site.SecurityNone, site.SecurityStartTLS, site.SecurityTLS:
	default:
		bad("security "+strconv.Quote(string(security))+" is unknown", "use none, starttls or tls")
	}
}

// TLS returns what secures connections with a server; nil if nothing does. caFile has
// the authorities in PEM; "" stands for those of the system.
func TLS(address string, security site.Security, caFile string) (*tls.Config, error) {
	if security != site.SecurityStartTLS && security != site.SecurityTLS {
		return nil, nil
	}
	host, _, _ := net.SplitHostPort(address) // Validate told of what is no address
	conf := &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		// Thousands of short sessions with one server: resumption saves the
		// better part of each handshake.
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
	if caFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fault.New(fault.Config, "read CA file", err, "the file must be readable by the worker and hold PEM certificates")
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Config, "read CA file "+caFile+": no certificate in it", nil, "it must hold PEM certificates")
	}
	return conf, nil
}

// Reach dials and has the connection prepared, all before the end of ctx, which closes
// it. What ended ctx is part of the error.
func Reach[T any](ctx context.Context, dial Dial, address string, prepare func(net.Conn) (T, error)) (T, error) {
	var none T
	raw, err := dial(ctx, "tcp", address)
	if err != nil {
		return none, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	prepared, err := prepare(raw)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(err, cause)
		}
		return none, err
	}
	_ = raw.SetDeadline(time.Time{})
	return prepared, nil
}
