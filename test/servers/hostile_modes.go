package servers

import (
	"fmt"
	"slices"
	"strings"
)

// Mode is what a hostile server does to a mailbox.
type Mode string

// hook answers a command in a mode's way; false leaves it to the server in order.
type hook func(c *hostileConn, cmd hostileCommand) bool

// on is a hook for one command.
func on(name string, do func(c *hostileConn, cmd hostileCommand)) hook {
	return func(c *hostileConn, cmd hostileCommand) bool {
		if cmd.name != name && !(name == "SELECT" && cmd.name == "EXAMINE") {
			return false
		}
		do(c, cmd)
		return true
	}
}

// before is a hook that sends something ahead of a command's answer.
func before(name string, text func(c *hostileConn) string) hook {
	return func(c *hostileConn, cmd hostileCommand) bool {
		if cmd.name == name || name == "SELECT" && cmd.name == "EXAMINE" {
			_, _ = c.w.WriteString(text(c))
		}
		return false
	}
}

func always(text string) func(*hostileConn) string { return func(*hostileConn) string { return text } }

// often is a text that is made when it is sent.
func often(head, text string, n int, tail string) func(*hostileConn) string {
	return func(*hostileConn) string { return head + strings.Repeat(text, n) + tail }
}

// endlessly is a hook that answers a command with a text without end.
func endlessly(name, head, text string) hook {
	return on(name, func(c *hostileConn, _ hostileCommand) {
		_, _ = c.w.WriteString(head)
		c.endless(text)
	})
}

func nested(depth int) string { return strings.Repeat("(", depth) + strings.Repeat(")", depth) }

// everything is all that the server knows and nobody may be shown: what it received
// at the login, and the messages of the mailbox.
func (c *hostileConn) everything(cmd hostileCommand) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	words := []string{c.sasl, c.password, cmd.args}
	for _, l := range cmd.literals {
		words = append(words, strings.Join(strings.Fields(string(l)), " "))
	}
	for _, f := range c.boxes[c.number] {
		for _, m := range f.messages {
			words = append(words, m.Flags, strings.Join(strings.Fields(string(m.Body)), " "))
		}
	}
	return strings.Join(words, " ")
}

// quoting is a hook that refuses a command in the server's words; %s is everything.
func quoting(name, answer string) hook {
	return on(name, func(c *hostileConn, cmd hostileCommand) {
		all := c.everything(cmd)
		c.send("%s", strings.ReplaceAll(strings.ReplaceAll(answer, "TAG", cmd.tag), "ALL", all))
		if strings.HasPrefix(answer, "* BYE") {
			_ = c.w.Flush()
			_ = c.nc.Close()
		}
	})
}

// badLiteral answers for messages with literals of another size.
func badLiteral(more int) hook {
	return func(c *hostileConn, cmd hostileCommand) bool {
		if cmd.name != "UID FETCH" || !strings.Contains(cmd.args, "BODY.PEEK[]") {
			return false
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, m := range c.folder(c.number, c.open, true).messages {
			c.send("* %d FETCH (UID %d BODY[] {%d}\r\n%s)", i+1, m.UID, len(m.Body)+more, m.Body)
		}
		c.send("%s OK done", cmd.tag)
		return true
	}
}

const (
	flood     = "* OK [ALERT] canaryflood and again\r\n"
	metadata  = `FLAGS (\Seen) INTERNALDATE "01-Feb-2026 10:11:12 +0000" RFC822.SIZE 10`
	fetchHead = "* 1 FETCH (UID 1 " + metadata
)

// hostileModes are all modes. Text without end stands for whatever fills a memory,
// "canary" begins what no output may hold.
var hostileModes = map[Mode]hook{
	"fetch: body structure nested deeply":      before("UID FETCH", always(fetchHead+" BODYSTRUCTURE "+nested(100_000)+")\r\n")),
	"fetch: body structure nested without end": endlessly("UID FETCH", fetchHead+" BODYSTRUCTURE ", "("),
	"fetch: envelope with a literal of 100 GB": endlessly("UID FETCH", fetchHead+" ENVELOPE (\"x\" {100000000000}\r\n", "canaryliteral "),
	"fetch: literals without end":              endlessly("UID FETCH", fetchHead+" ENVELOPE (", " {3}\r\nabc"),
	"fetch: flags of 10 MB":                    before("UID FETCH", often("* 1 FETCH (UID 1 FLAGS (", "canaryflag ", 900_000, ") RFC822.SIZE 10)\r\n")),
	"fetch: flags of 500 kB":                   before("UID FETCH", often("* 1 FETCH (UID 1 FLAGS (", "canaryflag ", 45_000, ") RFC822.SIZE 10)\r\n")),
	"fetch: messages that nobody asked for":    endlessly("UID FETCH", "", "* 9 FETCH (UID 4000000000 "+metadata+")\r\n"),
	"fetch: the same message again":            endlessly("UID FETCH", "", fetchHead+")\r\n"),
	"fetch: a body without end":                endlessly("UID FETCH", "", "* 1 FETCH (BODY[] {1000}\r\n"+strings.Repeat("canarybody", 100)+" UID 1)\r\n"),
	"fetch: a line without end":                endlessly("UID FETCH", "* 1 FETCH (UID 1 BODY[] \"", "canaryquoted "),
	"fetch: literals that are too short":       badLiteral(-9),
	"fetch: literals that are too long":        badLiteral(9),
	"fetch: not what it should be":             before("UID FETCH", always("* 1 FETCH canary (UID (canary)) {5}\r\n")),
	"fetch: numbers that are none":             before("UID FETCH", always("* 99999999999 FETCH (UID 1 FLAGS (canary RFC822.SIZE 99999999999999999999)\r\n")),
	"fetch: words of the message in a NO":      quoting("UID FETCH", "TAG NO [CANARYCODE ALL] cannot read ALL"),

	"list: without end":               endlessly("LIST", "", "* LIST () \"/\" \"first\"\r\n* LIST (\\HasNoChildren) \"/\" other\r\n"),
	"list: other names without end":   on("LIST", func(c *hostileConn, _ hostileCommand) { c.names() }),
	"list: attributes without end":    before("LIST", often("* LIST (", `\a `, 300_000, ") \"/\" x\r\n")),
	"list: a name of 100 GB":          endlessly("LIST", "* LIST () \"/\" {100000000000}\r\n", "canaryname "),
	"list: status nested deeply":      before("LIST", always("* STATUS INBOX (X "+nested(100_000)+")\r\n")),
	"list: status nested without end": endlessly("LIST", "* STATUS INBOX (X ", "("),
	"list: namespace nested deeply": on("NAMESPACE", func(c *hostileConn, cmd hostileCommand) {
		c.send("* NAMESPACE %s NIL NIL\r\n%s OK done", nested(100_000), cmd.tag)
	}),
	"list: namespaces without end": endlessly("NAMESPACE", "", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"),
	"list: words in a NO":          quoting("LIST", "TAG NO [CANARYCODE ALL] \x1b[31m\u202e ALL"),

	"open: untagged without end": endlessly("SELECT", "", flood),
	"open: a line without end":   endlessly("SELECT", "* OK ", "canaryline "),
	"open: a tagged line without end": on("SELECT", func(c *hostileConn, cmd hostileCommand) {
		_, _ = c.w.WriteString(cmd.tag + " NO ")
		c.endless("canaryline ")
	}),
	"open: responses that nobody knows": endlessly("SELECT", "", "* CANARY {3}\r\nabc\r\n"),
	"open: go on, without end":          endlessly("SELECT", "", "+ canary\r\n"),
	"open: expunged without end":        endlessly("SELECT", "* 1 EXISTS\r\n", "* 1 EXPUNGE\r\n"),
	"open: messages without number": on("SELECT", func(c *hostileConn, cmd hostileCommand) {
		c.send("* 4294967295 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4294967295] x\r\n%s OK done", cmd.tag)
	}),
	"open: numbers that are none":     before("SELECT", always("* 99999999999999999999 EXISTS\r\n")),
	"open: permanent flags of 900 kB": before("SELECT", often("* OK [PERMANENTFLAGS (", "canaryflag ", 80_000, ")] x\r\n")),
	"open: capabilities without end":  endlessly("SELECT", "", "* CAPABILITY IMAP4rev1 CANARY=1\r\n"),
	"open: another tag":               before("SELECT", always("canary7 OK [CANARY] canary\r\n")),
	"open: another tag with BAD":      before("SELECT", always("canary7 BAD canary words of a body\r\n")),
	"open: goodbye":                   quoting("SELECT", "* BYE ALL"),
	"open: words in a NO":             quoting("SELECT", "TAG NO [CANARYCODE ALL] \x1b[31m\u202e ALL"),
	"open: words in a BAD":            quoting("SELECT", "TAG BAD ALL"),
	"open: neither OK nor NO":         quoting("SELECT", "TAG CANARY ALL"),
	"open: nothing but bytes":         before("SELECT", always("\x00\xff\x80\r\n{9}\r\n canary\r\n")),

	"search: without end": endlessly("UID SEARCH", "* SEARCH", " 1 3 5 7"),
	"search: all numbers": on("UID SEARCH", func(c *hostileConn, cmd hostileCommand) {
		c.send("* ESEARCH (TAG \"%s\") UID ALL 1:4294967295\r\n%s OK done", cmd.tag, cmd.tag)
	}),
	"search: words in a NO": quoting("UID SEARCH", "TAG NO [CANARYCODE ALL] ALL"),

	"login: words in a BAD":       quoting("AUTHENTICATE", "TAG BAD ALL"),
	"login: words in a NO":        quoting("AUTHENTICATE", "TAG NO [CANARYCODE ALL] ALL"),
	"login: words in a later NO":  quoting("AUTHENTICATE", "TAG NO [UNAVAILABLE] ALL"),
	"login: words in a challenge": quoting("AUTHENTICATE", "+ ALL"),
	"login: goodbye":              quoting("AUTHENTICATE", "* BYE ALL"),
	"login: capabilities of words": on("AUTHENTICATE", func(c *hostileConn, cmd hostileCommand) {
		c.send("%s OK [CAPABILITY %s] %s", cmd.tag, strings.Repeat("CANARY=1 ", 50_000), c.everything(cmd))
	}),

	"idle: changes without end": endlessly("IDLE", "+ idling\r\n", "* 5 EXISTS\r\n* 5 EXPUNGE\r\n"),
	"idle: a line without end":  endlessly("IDLE", "+ idling\r\n* OK ", "canaryline "),
	"idle: goodbye":             quoting("IDLE", "* BYE ALL"),
	"idle: words in a NO":       quoting("IDLE", "TAG NO [CANARYCODE ALL] ALL"),

	"append: words in a NO":        quoting("APPEND", "TAG NO [CANARYCODE ALL] ALL"),
	"append: words in a BAD":       quoting("APPEND", "TAG BAD ALL"),
	"append: goodbye":              quoting("APPEND", "* BYE ALL"),
	"append: another tag":          quoting("APPEND", "canary BAD ALL"),
	"append: untagged without end": endlessly("APPEND", "", flood),
	"append: all UIDs": on("APPEND", func(c *hostileConn, cmd hostileCommand) {
		name, _ := hostileName(cmd.args)
		c.mu.Lock()
		c.folder(c.number, name, true).put("", "01-Feb-2026 10:11:12 +0000", cmd.literals[0])
		c.mu.Unlock()
		c.send("%s OK [APPENDUID 7 1:4294967295] stored", cmd.tag)
	}),

	"names: of paths and lines": func(c *hostileConn, cmd hostileCommand) bool {
		switch cmd.name {
		case "LIST":
			if !strings.Contains(cmd.args, "*") {
				return false
			}
			for _, name := range []string{"../../etc/passwd", "..", "a/./b", "cr\r\nlf", "nul\x00", "line\r\n* BAD x", "esc\x1b[31m", "turn\u202eround"} {
				c.send("* LIST () \"/\" {%d}\r\n%s\r\n* STATUS {%d}\r\n%s (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 7)", len(name), name, len(name), name)
			}
		case "SELECT", "EXAMINE": // each of them is there
			cmd.args = "INBOX"
			return c.answer(cmd)
		}
		return false
	},
	"names: a namespace of lines": on("NAMESPACE", func(c *hostileConn, cmd hostileCommand) {
		c.send("* NAMESPACE ((\"a\x00\" \"\x00\")) NIL NIL\r\n%s OK done", cmd.tag)
	}),
	"names: keywords of bytes": before("UID FETCH", always("* 1 FETCH (UID 1 FLAGS (\x00 a\x00b \xff\xfe \x1b[31m) INTERNALDATE \"x\x00\" RFC822.SIZE 10)\r\n")),
}

// names lists other folders without end.
func (c *hostileConn) names() {
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(c.w, "* LIST (\\A%d) \"/\" other%d\r\n", i, i); err != nil {
			return
		}
	}
}

// HostileModes returns the names of all modes, in their order.
func HostileModes() []Mode {
	var list []Mode
	for m := range hostileModes {
		list = append(list, m)
	}
	slices.Sort(list)
	return list
}
