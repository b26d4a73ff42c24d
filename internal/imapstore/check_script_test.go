package imapstore

import (
	"fmt"
	"strings"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

// What a server says of itself is in the report of a check, which the database keeps: no
// part of it that quotes the password is shown.
func TestCheckReportHoldsNoPassword(t *testing.T) {
	const password = "Geheim-17x"
	const capabilities = standard + " ID"
	store := serve(t, func(s *script) {
		s.send("* OK [CAPABILITY " + capabilities + "] Dovecot 1" + password)
		for {
			line, err := s.r.ReadString('\n')
			if err != nil {
				return
			}
			tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch command, _, _ := strings.Cut(rest, " "); command {
			case "ID":
				s.send(`* ID ("name" "` + password + `" "version" "` + password + `" "server-id" "` + password + `")`)
			case "CAPABILITY":
				s.send("* CAPABILITY " + capabilities + " X-" + password)
			case "NAMESPACE":
				s.send(`* NAMESPACE (("` + password + `/" "/")) (("users-` + password + `/" "/")) NIL`)
			case "LIST":
				s.send(`* LIST () "/" INBOX`, "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)")
			case "AUTHENTICATE":
				s.send(tag + " OK [CAPABILITY " + capabilities + "] in")
				continue
			}
			s.send(tag + " OK done")
		}
	})
	store.opts.Password = seal.NewSecret(password)
	r, err := store.Check(t.Context(), "1000")
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, password) || r.Prefix == "" || r.Overview == "" {
		t.Errorf("reported %s", text)
	}
}

// A server that closes the connection at the login says no reason: its log does. Dovecot
// does so to an account without a user id.
func TestCheckOfAServerThatClosesAtLogin(t *testing.T) {
	store := serve(t, func(s *script) {
		s.send("* OK [CAPABILITY " + standard + "] ready")
		_, _ = s.r.ReadString('\n')
	})
	_, err := store.Check(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "the server closed the connection") || !strings.Contains(fault.HintOf(err), "user id") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

func TestHintForNamesThatDovecotRejects(t *testing.T) {
	for login, want := range map[string]bool{"1000": false, "zoe.b-1": false, "Zoe": true, "zoë": true} {
		if got := strings.Contains(nameHint(login), "auth_username_chars"); got != want {
			t.Errorf("%s: %v", login, got)
		}
	}
}
