package corpus

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"mailmirror/test/reader"
)

// Expect says what a server does with something odd.
type Expect int

// What can happen.
const (
	Kept    Expect = iota // comes back as it was given
	Altered               // is stored, comes back as something else
	Refused               // the server says NO and stores nothing
)

func (e Expect) String() string { return [...]string{"kept", "altered", "refused"}[e] }

// Oddity is something unusual that a mailbox may hold and that a mirror must
// copy as it is, or show why it cannot.
type Oddity struct {
	Name     string
	Deposits []reader.Deposit // for INBOX
	Dovecot  Expect
	Cyrus    Expect
	Note     string // why a server does not keep it
}

// plain makes a small message with the given header lines and body.
func plain(header, body string) []byte {
	return []byte("From: <1@voice.example.com>\r\nTo: <2@voice.example.com>\r\nDate: Sun, 1 Jun 2025 12:00:00 +0000\r\n" +
		header + "\r\n" + body)
}

func deposit(body []byte) reader.Deposit {
	d := reader.Deposit{Folder: "INBOX", Date: reference}
	d.Size, d.Body = reader.Bytes(body)
	return d
}

func withID(name, body string) reader.Deposit {
	return deposit(plain("Message-ID: <"+name+"@voice.example.com>\r\nSubject: "+name+"\r\n", body))
}

// Oddities returns all odd messages. Each has a name that is unique and can
// name a subtest. The 100 MB message is not among them: see Huge.
func Oddities() []Oddity {
	var all []Oddity
	all = append(all, shapeOddities()...)
	all = append(all, identityOddities()...)
	all = append(all, hostileOddities()...)
	all = append(all, dateOddities()...)
	all = append(all, flagOddities()...)
	return all
}

func shapeOddities() []Oddity {
	one := func(name string, body []byte) Oddity {
		return Oddity{Name: name, Deposits: []reader.Deposit{deposit(body)}}
	}
	expect := func(o Oddity, dovecot, cyrus Expect, note string) Oddity {
		o.Dovecot, o.Cyrus, o.Note = dovecot, cyrus, note
		return o
	}
	var everyByte []byte
	for c := 1; c < 256; c++ {
		if c != '\r' && c != '\n' {
			everyByte = append(everyByte, byte(c))
		}
	}
	return []Oddity{
		expect(one("empty message", nil), Refused, Refused, "neither stores a message of no bytes"),
		one("one line break only", []byte("\r\n")),
		expect(one("one byte", []byte("x")), Kept, Refused, "Cyrus wants a header"),
		expect(one("no header", []byte("\r\nonly a body\r\n")), Kept, Kept, ""),
		expect(one("text without any header", []byte("this is no header\r\nnor is this\r\n")), Kept, Refused, "Cyrus wants a header"),
		one("header without body", []byte("Subject: nothing follows\r\n\r\n")),
		one("header without empty line", []byte("Subject: cut off\r\n")),
		one("no line break at the end", plain("Subject: open end\r\n", "last words")),
		one("eight-bit body", plain("Subject: 8bit\r\n", string(everyByte)+"\r\n")),
		expect(one("eight-bit header", plain("Subject: gr\xfc\xdfe \xff\xfe\r\n", "latin-1 in the header\r\n")), Kept, Altered, "Cyrus replaces bytes above 127 in headers"),
		expect(one("UTF-8 header", plain("Subject: Grüße 你好\r\n", "raw UTF-8\r\n")), Kept, Altered, "as any byte above 127"),
		expect(one("NUL in body", plain("Subject: nul\r\n", "a\x00b\r\n")), Altered, Refused, "Dovecot stores 0x80 in place of NUL; Cyrus refuses it"),
		expect(one("NUL in header", plain("Subject: n\x00l\r\n", "b\r\n")), Altered, Refused, "as in the body"),
		expect(one("bare LF in body", plain("Subject: lf\r\n", "one\ntwo\nthree\n")), Altered, Refused, "Dovecot makes CRLF of it; Cyrus refuses it"),
		expect(one("bare LF everywhere", bytes.ReplaceAll(plain("Subject: unix\r\n", "one\r\ntwo\r\n"), []byte("\r\n"), []byte("\n"))), Altered, Refused, "as in the body"),
		one("bare CR in body", plain("Subject: cr\r\n", "one\rtwo\rthree\r\n")),
		expect(one("CR before CRLF", plain("Subject: crcrlf\r\n", "one\r\r\ntwo\r\r\n")), Altered, Kept, "Dovecot drops the CR"),
		expect(one("CR at the very end", plain("Subject: endcr\r\n", "end\r")), Altered, Kept, "Dovecot drops the CR"),
		one("line of a megabyte", plain("Subject: long line\r\n", strings.Repeat("x", 1<<20)+"\r\n")),
		one("header line of 100 kB", plain("Subject: "+strings.Repeat("y", 100<<10)+"\r\n", "b\r\n")),
		one("header of a thousand fields", plain(strings.Repeat("X-Trace: abc\r\n", 1000), "b\r\n")),
		one("mbox From line", []byte("From 4001 Sun Jun  1 12:00:00 2025\r\nSubject: mbox\r\n\r\nFrom here on\r\n>From there\r\n")),
		one("lines of a dot", plain("Subject: dots\r\n", ".\r\n..\r\n.\r\n")),
		one("broken MIME", plain("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"never\"\r\n", "--other\r\nContent-Type: \r\n")),
		one("blank lines only", []byte(strings.Repeat("\r\n", 500))),
	}
}

func identityOddities() []Oddity {
	twin := func() reader.Deposit { return withID("twin", "the very same bytes\r\n") }
	later := twin()
	later.Date = reference.Add(time.Hour)
	seen := twin()
	seen.Flags = []string{`\Seen`}
	anonymous := func(text string) reader.Deposit { return deposit(plain("Subject: anonymous\r\n", text)) }
	return []Oddity{
		{Name: "identical twins", Deposits: []reader.Deposit{twin(), twin()}},
		{Name: "twins apart in date and flags", Deposits: []reader.Deposit{twin(), later, seen}},
		{Name: "no Message-ID", Deposits: []reader.Deposit{anonymous("first\r\n")}},
		{Name: "several without Message-ID", Deposits: []reader.Deposit{anonymous("aaaa\r\n"), anonymous("bbbb\r\n"), anonymous("bbbb\r\n")}},
		{Name: "repeated Message-ID", Deposits: []reader.Deposit{withID("repeated", "one body\r\n"), withID("repeated", "other body, longer\r\n")}},
		{Name: "repeated Message-ID and size", Deposits: []reader.Deposit{withID("same", "body 1\r\n"), withID("same", "body 2\r\n")}},
		{Name: "empty Message-ID", Deposits: []reader.Deposit{deposit(plain("Message-ID:\r\nSubject: empty id\r\n", "b\r\n"))}},
		{Name: "two Message-IDs", Deposits: []reader.Deposit{deposit(plain("Message-ID: <x@a>\r\nMessage-ID: <y@a>\r\n", "b\r\n"))}},
		{Name: "folded Message-ID", Deposits: []reader.Deposit{deposit(plain("Message-ID:\r\n <folded@voice.example.com>\r\n", "b\r\n"))}},
		{Name: "Message-ID of 5 kB", Deposits: []reader.Deposit{deposit(plain("Message-ID: <"+strings.Repeat("i", 5000)+"@a>\r\n", "b\r\n"))}},
		{Name: "a hundred equal ones", Deposits: repeat(100, twin)},
	}
}

func repeat(n int, deposit func() reader.Deposit) []reader.Deposit {
	var all []reader.Deposit
	for range n {
		all = append(all, deposit())
	}
	return all
}

// Pwned is the folder that hostile messages try to create. No mailbox may ever
// have it.
const Pwned = "Pwned"

// hostileOddities hold what a client or server that lost count of a literal
// would take for commands or answers.
func hostileOddities() []Oddity {
	commands := strings.Repeat("z CREATE "+Pwned+"\r\n", 20)
	one := func(name string, body string) Oddity {
		return Oddity{Name: name, Deposits: []reader.Deposit{withID(strings.ReplaceAll(name, " ", "-"), body)}}
	}
	bare := deposit([]byte(commands))
	return []Oddity{
		one("commands in the body", commands+"z LOGOUT\r\n"),
		{Name: "commands and nothing else", Deposits: []reader.Deposit{bare}, Cyrus: Refused, Note: "Cyrus wants a header"},
		one("ends in a literal's head", "x\r\nz APPEND INBOX {5}"),
		one("ends in a literal's head and CRLF", "x\r\nz APPEND INBOX {5+}\r\n"),
		one("answers in the body", "T1 OK done\r\nr1 OK [APPENDUID 1 1] done\r\n* 1 EXPUNGE\r\n* BYE\r\n+ go ahead\r\n)\r\nA1 BAD no\r\n"),
		one("fetch look-alike", "* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n)\r\n* 2 FETCH (FLAGS (\\Deleted))\r\n"),
		one("unbalanced quotes and brackets", "\"((([[[{{{ \\\"\r\n\"\r\n)))\r\n"),
		{Name: "hostile header", Deposits: []reader.Deposit{deposit(plain("Message-ID: <a\"b\\c{3}@x>\r\nSubject: \" {10+} ) * BYE\r\n", "b\r\n"))}},
	}
}

func dateOddities() []Oddity {
	at := func(name string, d time.Time) Oddity {
		m := withID("date-"+strings.ReplaceAll(name, " ", "-"), name+"\r\n")
		m.Date = d
		return Oddity{Name: "date " + name, Deposits: []reader.Deposit{m}}
	}
	future := func(name string, d time.Time) Oddity {
		o := at(name, d)
		o.Dovecot, o.Note = Altered, "Dovecot puts the time of arrival in place of a date to come"
		return o
	}
	zone := func(hours, minutes int) *time.Location { return time.FixedZone("", hours*3600+minutes*60) }
	return []Oddity{
		at("zone +1400", time.Date(2025, 6, 1, 0, 30, 0, 0, zone(14, 0))),
		at("zone -1200", time.Date(2025, 6, 1, 23, 30, 0, 0, zone(-12, 0))),
		at("zone +0545", time.Date(2025, 6, 1, 12, 0, 1, 0, zone(5, 45))),
		at("of summer time's end", time.Date(2024, 10, 27, 2, 30, 0, 0, zone(2, 0))),
		at("leap day", time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC)),
		at("first second of the epoch", time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)),
		at("in 1985", time.Date(1985, 3, 4, 5, 6, 7, 0, zone(-8, 0))),
		at("day of one digit", time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)),
		future("in the future", time.Date(2037, 12, 31, 23, 59, 59, 0, time.UTC)),
		future("in the future beyond 32 bits", time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
}

// flagOddities are system flags, and keywords of every character that an IMAP
// atom permits (RFC 9051 section 9: flag-keyword, atom).
func flagOddities() []Oddity {
	with := func(name string, flags ...string) Oddity {
		m := withID("flags-"+strings.ReplaceAll(name, " ", "-"), name+"\r\n")
		m.Flags = flags
		return Oddity{Name: "flags " + name, Deposits: []reader.Deposit{m}}
	}
	var many []string
	for i := range 140 {
		many = append(many, fmt.Sprintf("keyword%03d", i))
	}
	tooLong := with("keyword of 51 characters", strings.Repeat("k", 51))
	tooLong.Dovecot, tooLong.Note = Refused, "Dovecot's mail_max_keyword_length is 50; the whole APPEND is refused"
	tooMany := with("keywords by the hundred", many...)
	tooMany.Cyrus, tooMany.Note = Refused, "Cyrus keeps some 100 keywords a folder, and announces \\* all the same"
	return []Oddity{
		tooLong, tooMany,
		with("all system flags", `\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`),
		with("deleted but there", `\Deleted`),
		with("registered keywords", "$Forwarded", "$MDNSent", "$Junk", "NonJunk", "$Phishing"),
		with("keyword in mixed case", "MiXeD"),
		with("keyword of odd characters", "a!b#c$d&e'f+g,h-i.j/k:l;m<n=o>p?q@r^s_t`u|v}w~x"),
		with("keyword with an open bracket", "list[3"),
		with("keyword of digits", "12345"),
		with("keyword NIL", "NIL"),
		with("keyword of 50 characters", strings.Repeat("k", 50)),
		with("twenty keywords", many[:20]...),
	}
}
