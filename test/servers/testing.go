package servers

import (
	"context"
	"os/exec"
)

// TB is the part of testing.TB that the helpers need. Naming it here keeps the
// testing package out of binaries that start servers, such as the demo.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// DovecotT starts a Dovecot for one test and stops it when the test ends. When
// the test failed, the end of the server's log is shown.
func DovecotT(t TB, o DovecotOptions) *Dovecot {
	t.Helper()
	d, err := StartDovecot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, &d.instance)
	return d
}

// CyrusT does the same with a Cyrus.
func CyrusT(t TB, o CyrusOptions) *Cyrus {
	t.Helper()
	c, err := StartCyrus(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, &c.instance)
	return c
}

// SlapdT does the same with an OpenLDAP server.
func SlapdT(t TB, o SlapdOptions) *Slapd {
	t.Helper()
	s, err := StartSlapd(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, &s.instance)
	return s
}

// DS389T does the same with a 389 Directory Server.
func DS389T(t TB, o DS389Options) *DS389 {
	t.Helper()
	d, err := StartDS389(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, &d.instance)
	return d
}

func stopAtEnd(t TB, s *instance) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of %s:\n%s", s.logPath, logTail(s.logPath))
		}
		if err := s.Stop(); err != nil {
			t.Errorf("stop server: %v", err)
		}
	})
}

// RunT runs a program, which must succeed.
func RunT(t TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
