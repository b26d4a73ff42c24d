package temporalclient

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"mailmirror/internal/fault"
)

// Dial connects and makes sure that the namespace exists. Errors are Config
// where the operator must act (TLS, key, namespace) and Transient where the
// cluster does not answer; each says in its hint what to try.
func Dial(ctx context.Context, o Options) (client.Client, error) {
	o, err := Resolve(o)
	if err != nil {
		return nil, err
	}
	options, err := o.clientOptions()
	if err != nil {
		return nil, err
	}
	op := "connect to Temporal at " + o.Address
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, classify(op, err, o)
	}
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: o.Namespace})
	if err != nil {
		c.Close()
		return nil, classify(op, err, o)
	}
	return c, nil
}

// classify tells by the kind of a service error, or failing that by gRPC's
// words for a connection that did not come about, what an operator must do.
// gRPC has no types for those: all are "unavailable".
func classify(op string, err error, o Options) error {
	if is[*serviceerror.NamespaceNotFound](err) || is[*serviceerror.NamespaceInvalidState](err) {
		return fault.New(fault.Config, op, fmt.Errorf("it has no namespace %s", o.Namespace),
			"create it: temporal operator namespace create --address "+o.Address+" --namespace "+o.Namespace)
	}
	text := err.Error()
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case is[*serviceerror.PermissionDenied](err), has("Unauthenticated", "Unauthorized"):
		return fault.New(fault.Config, op, err, "check the API key or client certificate, and whether it may use namespace "+o.Namespace)
	case has("unknown authority"):
		return fault.New(fault.Config, op, err, "the server's certificate is from a CA that is not known here: give its file by temporal.tls.ca_file")
	case has("certificate is valid for", "not valid for any names"):
		return fault.New(fault.Config, op, err, "the certificate is for another name: correct the address, or set temporal.tls.server_name")
	case has("certificate has expired", "not yet valid"):
		return fault.New(fault.Config, op, err, "the server's certificate is out of date, or this machine's clock is wrong")
	case has("first record does not look like a TLS handshake"):
		return fault.New(fault.Config, op, err, "the server speaks no TLS on this port: switch temporal.tls.enabled off, or correct the port")
	case has("certificate required", "bad certificate"):
		return fault.New(fault.Config, op, err, "the server wants a client certificate: temporal.tls.cert_file and key_file")
	case has("error reading server preface", "malformed header", "frame too large"):
		return fault.New(fault.Config, op, err, "this is no Temporal frontend, or it wants TLS (temporal.tls.enabled)")
	default:
		return fault.New(fault.Transient, op, err, "is Temporal running there? With --data, `mailmirror up` must be")
	}
}

// is reports whether err is, or wraps, a service error of type T.
func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// Lazy returns a client that connects when it is first used, so that what
// needs no Temporal works while it is down.
func Lazy(o Options) (client.Client, error) {
	o, err := Resolve(o)
	if err != nil {
		return nil, err
	}
	options, err := o.clientOptions()
	if err != nil {
		return nil, err
	}
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, classify("prepare connection to Temporal at "+o.Address, err, o)
	}
	return c, nil
}
