package imapstore

import (
	"fmt"
	"strings"
	"testing"

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
