// Package temporalclient connects to a Temporal cluster: the private one of a
// one-machine stack, a company's own, or Temporal Cloud.
//
// It owns where the address, namespace, TLS and API key come from, and what a
// failed connection means to the operator. It must not know any workflow.
//
// # What Temporal may show
//
// Payloads hold ids, UIDs and counts, and error texts hold neither content nor
// credentials, so there is no codec and nothing is encrypted: the Web UI and
// Temporal's command line tool show everything as it is. For the same reason
// the failure converter's EncodeCommonAttributes stays off. It moves error
// messages and stack traces into a payload so that a codec can encrypt them;
// without a codec it would hide them from the Web UI and protect nothing. A
// codec and that option come together or not at all.
package temporalclient
