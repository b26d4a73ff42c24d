package servers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// answer does what a server in order does; false ends the connection.
func (c *hostileConn) answer(cmd hostileCommand) bool {
	if cmd.name == "IDLE" {
		c.send("+ idling")
		_ = c.w.Flush()
		line, err := c.r.ReadString('\n')
		c.send("%s OK done", cmd.tag)
		return err == nil && strings.HasPrefix(line, "DONE")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name, rest := hostileName(cmd.args)
	switch cmd.name {
	case "CAPABILITY":
		c.send("* CAPABILITY %s", hostileCapabilities)
	case "NOOP", "CHECK", "SUBSCRIBE", "UNSUBSCRIBE":
	case "LOGOUT":
		c.send("* BYE bye")
		c.send("%s OK done", cmd.tag)
		return false
	case "NAMESPACE":
		c.send(`* NAMESPACE (("" "/")) NIL NIL`)
	case "ID":
		c.send("* ID NIL")
	case "LIST":
		pattern, options := hostileName(rest)
		c.list(pattern, strings.Contains(options, "STATUS"))
	case "LSUB":
	case "STATUS":
		if c.folder(c.number, name, false) == nil {
			c.send("%s NO [NONEXISTENT] none", cmd.tag)
			return true
		}
		c.status(name)
	case "CREATE":
		c.folder(c.number, name, true)
	case "DELETE":
		delete(c.boxes[c.number], name)
	case "SELECT", "EXAMINE":
		f := c.folder(c.number, name, false)
		if f == nil {
			c.send("%s NO [NONEXISTENT] none", cmd.tag)
			return true
		}
		c.open = name
		c.send("* %d EXISTS", len(f.messages))
		c.send(`* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] flags`)
		c.send("* OK [UIDVALIDITY %d] valid", f.validity)
		c.send("* OK [UIDNEXT %d] next", f.next)
	case "UNSELECT", "CLOSE":
		c.open = ""
	case "APPEND":
		return c.append(cmd, name, rest)
	case "UID SEARCH", "UID FETCH", "UID STORE", "UID EXPUNGE":
		c.onMessages(cmd)
	default:
		c.send("%s BAD unknown", cmd.tag)
		return true
	}
	c.send("%s OK done", cmd.tag)
	return true
}

func (c *hostileConn) list(pattern string, status bool) {
	if pattern == "" {
		c.send(`* LIST (\Noselect) "/" ""`)
		return
	}
	c.folder(c.number, "INBOX", true)
	for name := range c.boxes[c.number] {
		if pattern != "*" && !strings.EqualFold(pattern, name) {
			continue
		}
		c.send(`* LIST () "/" "%s"`, name)
		if status {
			c.status(name)
		}
	}
}

func (c *hostileConn) status(name string) {
	f := c.folder(c.number, name, false)
	c.send(`* STATUS "%s" (MESSAGES %d UIDNEXT %d UIDVALIDITY %d)`, name, len(f.messages), f.next, f.validity)
}

// append stores a message.
func (c *hostileConn) append(cmd hostileCommand, name, rest string) bool {
	f := c.folder(c.number, name, false)
	if f == nil || len(cmd.literals) != 1 {
		c.send("%s NO [TRYCREATE] none", cmd.tag)
		return true
	}
	flags, date := "", "01-Feb-2026 00:00:00 +0000"
	if list, after, ok := strings.Cut(strings.TrimPrefix(rest, "("), ") "); ok && strings.HasPrefix(rest, "(") {
		flags, rest = list, after
	}
	if strings.HasPrefix(rest, `"`) {
		if given, _ := hostileName(rest); given != "" {
			date = given
		}
	}
	uid := f.put(flags, date, cmd.literals[0])
	c.send("%s OK [APPENDUID %d %d] stored", cmd.tag, f.validity, uid)
	return true
}

// onMessages takes the commands about messages of the open folder.
func (c *hostileConn) onMessages(cmd hostileCommand) {
	f := c.folder(c.number, c.open, false)
	if f == nil {
		return
	}
	set, rest, _ := strings.Cut(cmd.args, " ")
	switch cmd.name {
	case "UID SEARCH":
		// RETURN (ALL) ALL, RETURN (ALL) UID set, DELETED
		if _, after, ok := strings.Cut(cmd.args, "UID "); ok {
			set = after
		} else {
			set = "1:*"
		}
		var found []string
		for _, m := range f.messages {
			if inSet(set, m.UID) && (!strings.Contains(cmd.args, "DELETED") || strings.Contains(m.Flags, `\Deleted`)) {
				found = append(found, strconv.Itoa(int(m.UID)))
			}
		}
		if len(found) > 0 {
			c.send(`* ESEARCH (TAG "%s") UID ALL %s`, cmd.tag, strings.Join(found, ","))
		} else {
			c.send(`* ESEARCH (TAG "%s") UID`, cmd.tag)
		}
	case "UID FETCH":
		for i, m := range f.messages {
			if inSet(set, m.UID) {
				c.fetch(i+1, m, rest)
			}
		}
	case "UID STORE":
		_, flags, _ := strings.Cut(rest, " ")
		for i := range f.messages {
			if inSet(set, f.messages[i].UID) {
				f.messages[i].Flags = strings.Trim(flags, "()")
			}
		}
	case "UID EXPUNGE":
		f.messages = slices.DeleteFunc(f.messages, func(m HostileMessage) bool {
			return inSet(set, m.UID) && strings.Contains(m.Flags, `\Deleted`)
		})
	}
}

func (c *hostileConn) fetch(seq int, m HostileMessage, items string) {
	body, section := m.Body, ""
	switch {
	case strings.Contains(items, "BODY.PEEK[]"):
		section = "BODY[]"
	case strings.Contains(items, "BODY.PEEK[HEADER]"):
		section = "BODY[HEADER]"
		if head, _, ok := strings.Cut(string(body), "\r\n\r\n"); ok {
			body = []byte(head + "\r\n\r\n")
		}
	default:
		c.send(`* %d FETCH (UID %d FLAGS (%s) INTERNALDATE "%s" RFC822.SIZE %d)`, seq, m.UID, m.Flags, m.Date, len(m.Body))
		return
	}
	c.send("* %d FETCH (UID %d %s {%d}\r\n%s)", seq, m.UID, section, len(body), body)
}

func inSet(set string, uid uint32) bool {
	for part := range strings.SplitSeq(set, ",") {
		var first, last uint32
		switch n, _ := fmt.Sscanf(strings.ReplaceAll(part, "*", "4294967295"), "%d:%d", &first, &last); n {
		case 0:
			continue
		case 1:
			last = first
		}
		if first <= uid && uid <= last {
			return true
		}
	}
	return false
}
