package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailmirror/internal/cli"
)

// openTerminal makes a pseudo-terminal of 80 columns and returns the side that
// a program has, the side that a person has, and all that was shown.
func openTerminal(t *testing.T) (program, person *os.File, shown func() string) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number int
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ioctl error
	err = raw.Control(func(fd uintptr) {
		if ioctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctl == nil {
			number, ioctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || ioctl != nil {
		t.Fatal(err, ioctl)
	}
	if program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var reading sync.WaitGroup
	// Reading ends with an error once the program's side is closed.
	reading.Go(func() { _, _ = out.ReadFrom(person) })
	return program, person, func() string {
		program.Close()
		reading.Wait()
		person.Close()
		return out.String()
	}
}

func onTerminal(terminal *os.File, s *system, environment ...string) cli.Environment {
	return cli.Environment{
		Stdin: terminal, Stdout: terminal, Stderr: terminal, Now: now, Open: s.open,
		LookupEnv: func(name string) (string, bool) {
			for _, e := range environment {
				if k, v, _ := strings.Cut(e, "="); k == name {
					return v, true
				}
			}
			return "", false
		},
	}
}

func TestColoursOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name        string
		args        []string
		environment []string
		want        bool
	}{
		{"as it is", nil, nil, true},
		{"flag", []string{"--no-color"}, nil, false},
		{"NO_COLOR", nil, []string{"NO_COLOR=1"}, false},
		{"NO_COLOR empty", nil, []string{"NO_COLOR="}, true},
		{"dumb", nil, []string{"TERM=dumb"}, false},
		{"json", []string{"-o", "json"}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSystem()
			s.seed()
			program, _, shown := openTerminal(t)
			code := cli.Main(context.Background(), append(test.args, "mailbox", "list", "dr", "--data", "x"), onTerminal(program, s, test.environment...))
			out := shown()
			if code != 0 || strings.Contains(out, "\x1b[31mparked") != test.want || strings.Contains(out, "\x1b") != test.want {
				t.Errorf("code %d, output %q", code, out)
			}
		})
	}
}

func TestProgressBarOnATerminal(t *testing.T) {
	s := newSystem()
	s.seed()
	program, _, shown := openTerminal(t)
	code := cli.Main(context.Background(), []string{"compare", "dr", "--wait", "--data", "x"}, onTerminal(program, s))
	out := shown()
	if code != 1 {
		t.Errorf("code %d", code)
	}
	for _, want := range []string{"compare dr  6/6 mailboxes   [=", "100 %", "312/312 messages  23.5 MB", "compare of link dr ended after 1m15s"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q was not shown: %q", want, out)
		}
	}
	for line := range strings.SplitSeq(out, "\n") {
		if strings.Contains(line, "…") {
			t.Errorf("a line is cut at 80 columns: %q", line)
		}
	}
}

func TestPasswordIsReadFromATerminalWithoutShowingIt(t *testing.T) {
	s := newSystem()
	program, person, shown := openTerminal(t)
	fd := int(program.Fd())
	var typing sync.WaitGroup
	typing.Go(func() {
		// A terminal tells nobody that its echo was switched off.
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if state, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil || state.Lflag&unix.ECHO == 0 {
				break
			}
		}
		_, _ = person.WriteString("hunter2\n")
	})
	code := cli.Main(context.Background(), []string{
		"store", "add", "prod", "--data", "x", "--imap", "h:993", "--imap-security", "tls", "--login", "authzid",
		"--trusted-name", "m", "--trusted-password-file", "-",
	}, onTerminal(program, s))
	typing.Wait()
	store, err := s.repo.Store(t.Context(), "prod")
	if code != 0 || err != nil || !strings.HasSuffix(string(store.SealedPassword), "2retnuh") {
		t.Errorf("code %d, sealed %q, %v", code, store.SealedPassword, err)
	}
	if out := shown(); !strings.Contains(out, "Password of the trusted server: ") || strings.Contains(out, "hunter2") {
		t.Errorf("no prompt, or the password was shown: %q", out)
	}
}
