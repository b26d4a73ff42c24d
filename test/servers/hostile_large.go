package servers

import (
	"fmt"
	"io"
	"strings"
)

// The modes that stay within Mailmirror's bounds for one answer and then fall silent, so
// that many sessions hold as much as they may at the same time. They have no part in
// HostileModes.
const (
	// LargeList lists as many folders as Mailmirror reads of one mailbox.
	LargeList Mode = "large: a list of folders"
	// LargeFolder has a folder of 50,000 messages.
	LargeFolder Mode = "large: a folder"
	// LargestFolder has a folder of a million messages, more than Mailmirror reads.
	LargestFolder Mode = "large: a folder beyond the bound"
)

// hang falls silent until the client closes the connection.
func (c *hostileConn) hang() {
	_ = c.w.Flush()
	_, _ = io.Copy(io.Discard, c.r)
}

const largeFolder = 50_000

var largeModes = map[Mode]hook{
	LargeList: on("LIST", func(c *hostileConn, cmd hostileCommand) {
		if !strings.Contains(cmd.args, "*") {
			c.answer(cmd)
			return
		}
		for i := range 29_500 {
			_, _ = fmt.Fprintf(c.w, "* LIST (\\HasNoChildren) \"/\" \"folder %d %s\"\r\n* STATUS \"folder %d %s\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7)\r\n",
				i, strings.Repeat("x", 40), i, strings.Repeat("x", 40))
		}
		c.hang()
	}),
	LargeFolder:   largeFolderOf(largeFolder),
	LargestFolder: largeFolderOf(1_000_000),
}

func largeFolderOf(n int) hook {
	return func(c *hostileConn, cmd hostileCommand) bool {
		switch cmd.name {
		case "SELECT", "EXAMINE":
			c.send("* %d EXISTS\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] flags\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT %d] next\r\n%s OK done", n, n+1, cmd.tag)
		case "UID SEARCH":
			c.send("* ESEARCH (TAG \"%s\") UID ALL 1:%d\r\n%s OK done", cmd.tag, n, cmd.tag)
		case "UID FETCH":
			for uid := range n {
				_, err := fmt.Fprintf(c.w, "* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \"01-Feb-2026 10:11:12 +0000\" RFC822.SIZE 10)\r\n", uid+1, uid+1)
				if err != nil {
					return true
				}
			}
			c.hang()
		default:
			return false
		}
		return true
	}
}

// hookOf is what a mode does.
func hookOf(m Mode) hook {
	if h := hostileModes[m]; h != nil {
		return h
	}
	return largeModes[m]
}
