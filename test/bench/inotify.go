package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// inotifyInstances is how many inotify instances a user may have (inotify(7)).
// Dovecot takes one for every mailbox that IDLE is used on, and looks at what is
// beyond the limit, 128 by default, only every half minute.
const inotifyInstances = "/proc/sys/fs/inotify/max_user_instances"

// roomToIdle raises the limit where it is too low for so many mailboxes, and
// returns what puts it back.
func roomToIdle(mailboxes int, say func(format string, args ...any)) (putBack func(), err error) {
	text, err := os.ReadFile(inotifyInstances)
	if err != nil {
		return nil, fmt.Errorf("read the limit of inotify instances: %w", err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read the limit of inotify instances: %w", err)
	}
	need := mailboxes + 200
	if limit >= need {
		return func() {}, nil
	}
	if err := os.WriteFile(inotifyInstances, []byte(strconv.Itoa(need)), 0o600); err != nil { //nolint:gosec // the kernel's file, of that name
		return nil, fmt.Errorf("raise the limit of inotify instances (fs.inotify.max_user_instances) from %d to %d: %w", limit, need, err)
	}
	say("fs.inotify.max_user_instances is %d meanwhile, and not %d", need, limit)
	return func() { _ = os.WriteFile(inotifyInstances, text, 0o600) }, nil
}
