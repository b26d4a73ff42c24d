package control

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"mailmirror/internal/fault"
)

// InputError says that a request is malformed: no state of the system would
// make it right. Everything else that is refused depends on what there is.
type InputError struct{ cause *fault.Error }

// Error returns the text of the cause.
func (e *InputError) Error() string { return e.cause.Error() }

// Unwrap returns the cause, a Config fault.
func (e *InputError) Unwrap() error { return e.cause }

// malformed joins the faults of one request; nil where there are none.
func malformed(op string, faults []error) error {
	hint := ""
	for _, f := range faults {
		hint = cmp.Or(hint, fault.HintOf(f))
	}
	if err := errors.Join(faults...); err != nil {
		return &InputError{fault.New(fault.Config, op, err, hint)}
	}
	return nil
}

// namePattern keeps names usable in workflow ids, schedule ids and file names.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func checkName(what, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%s name %q: want up to 63 letters, digits, dots, dashes and underscores, first a letter or digit", what, name)
	}
	return nil
}

func checkAddress(address string) error { return checkHostPort("imap", address) }

func checkHostPort(protocol, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%s address %q: want HOST:PORT", protocol, address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%s address %q: %q is no port", protocol, address, port)
	}
	return nil
}

// checkTrustedName refuses what could not travel in a SASL PLAIN message
// (RFC 4616) or in a quoted LOGIN argument.
func checkTrustedName(name string) error {
	if name == "" {
		return errors.New("trusted name: must not be empty")
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return errors.New("trusted name: must not hold control characters")
	}
	return nil
}

var releasePattern = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

func checkRelease(release string) error {
	if release != "" && !releasePattern.MatchString(release) {
		return fmt.Errorf("minimum release %q: want numbers and dots, such as 2.3.19", release)
	}
	return nil
}
