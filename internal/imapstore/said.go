package imapstore

import (
	"bytes"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/endpoint"
)

// What a server says in its own words is shown only where the command held nothing
// secret, no message was sent on the connection before, and the words do not quote
// the password: servers quote what they received. That of all other answers is
// replaced by the response code, which comes from a list, before go-imap or
// anybody else sees it.

// quietCommands are the commands that hold a password, or something of a message,
// or stand for messages. The text of their answers is never shown.
var quietCommands = map[string]bool{
	"AUTHENTICATE": true, "LOGIN": true, "APPEND": true, "STORE": true, "FETCH": true, "SEARCH": true,
	"COPY": true, "MOVE": true, "EXPUNGE": true, "UID": true,
}

// knownCodes are the response codes (RFC 9051 section 7.1, RFC 4315, 4978, 5182,
// 5255, 5464, 5465, 5530, 6154, 7162, 7889, 9208) that Mailmirror names.
var knownCodes = func() map[string]imap.ResponseCode {
	codes := map[string]imap.ResponseCode{}
	for word := range strings.FieldsSeq(`ALERT ALREADYEXISTS APPENDUID AUTHENTICATIONFAILED AUTHORIZATIONFAILED BADCHARSET
		BADCOMPARATOR BADEVENT CANNOT CAPABILITY CLIENTBUG CLOSED COMPRESSIONACTIVE CONTACTADMIN COPYUID CORRUPTION EXPIRED
		EXPUNGEISSUED HASCHILDREN HIGHESTMODSEQ INUSE LIMIT MAXCONVERTMESSAGES METADATA MODIFIED NOMODSEQ NONEXISTENT NOPERM
		NOTIFICATIONOVERFLOW NOTSAVED NOUPDATE OVERQUOTA PARSE PERMANENTFLAGS PRIVACYREQUIRED READ-ONLY READ-WRITE REFERRAL
		SERVERBUG TOOBIG TRYCREATE UIDNEXT UIDNOTSTICKY UIDVALIDITY UNAVAILABLE UNKNOWN-CTE UNSEEN USEATTR`) {
		codes[word] = imap.ResponseCode(word)
	}
	return codes
}()

// status is what follows OK, NO, BAD or BYE, taken apart.
type status struct {
	code imap.ResponseCode // one of knownCodes, or ""
	args []byte            // of the code
	text []byte            // the server's own words
}

func readStatus(args []byte) status {
	args = bytes.Trim(args, " \r\n")
	if len(args) == 0 || args[0] != '[' {
		return status{text: args}
	}
	end := bytes.IndexByte(args, ']')
	if end < 0 {
		return status{}
	}
	word, list, _ := bytes.Cut(args[1:end], []byte(" "))
	if bytes.EqualFold(word, []byte("PERMANENTFLAGS")) {
		// Servers put brackets into keywords.
		if last := bytes.LastIndexByte(args, ')'); last > end {
			_, list, _ = bytes.Cut(args[1:last+1], []byte(" "))
			end = last
		}
	}
	return status{code: knownCodes[strings.ToUpper(string(word))], args: list, text: bytes.Trim(args[end+1:], " ]")}
}

// refusedFor returns the code of a NO. Some servers tell of a full mailbox by
// words alone. Dovecot gives no code with every NO for a folder that is not there,
// but always the same words.
func (s status) refusedFor() imap.ResponseCode {
	switch {
	case s.code != "":
		return s.code
	case indexFold(s.text, "OVER QUOTA") >= 0:
		return imap.ResponseCodeOverQuota
	case bytes.HasPrefix(s.text, []byte("Mailbox doesn't exist")):
		return imap.ResponseCodeNonExistent
	}
	return ""
}

// secrets are texts that nobody may be shown, in pieces of which one is enough to
// give them away.
type secrets []string

// piece is the length of a piece in bytes.
const piece = 6

func (s secrets) with(text string) secrets {
	for i := 0; i == 0 || i+piece <= len(text); i++ {
		if p := text[i:min(i+piece, len(text))]; len(p) > 2 {
			s = append(s, strings.ToUpper(p))
		}
	}
	return s
}

// show returns a server's text as it may be shown: cleaned and cut, and not at
// all where a piece of a secret is in it.
func (s secrets) show(text string) string {
	upper := strings.ToUpper(text)
	for _, p := range s {
		if strings.Contains(upper, p) {
			return "(the server's text holds a password and is not shown)"
		}
	}
	return strings.TrimSpace(endpoint.Printable(text))
}
