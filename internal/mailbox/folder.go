package mailbox

import (
	"fmt"
	"path"
	"strings"

	"mailmirror/internal/fault"
)

// FolderName is a folder's name in UTF-8, the same on every store whatever
// its hierarchy separator and namespace prefix are: components joined by "/",
// in which "/" and "%" are written "%2F" and "%25". The inbox is always
// "INBOX" (it is the one name without regard to case, RFC 9051, section 5.1).
// Where a prefix allows a top folder of that name beside the inbox, as
// "INBOX.INBOX" is, its first letter is escaped too: "%49NBOX".
type FolderName string

// Inbox is the folder that every mailbox has.
const Inbox FolderName = "INBOX"

var (
	escapeComponent   = strings.NewReplacer("%", "%25", "/", "%2F")
	unescapeComponent = strings.NewReplacer("%25", "%", "%2F", "/", "%49", "I", "%69", "i")
)

// FolderFromWire converts a name as a store spells it (already decoded from
// modified UTF-7) into a FolderName. separator 0 means a flat store; prefix is
// that of the personal namespace ("" or for instance "INBOX.").
func FolderFromWire(name string, separator rune, prefix string) FolderName {
	if strings.EqualFold(name, string(Inbox)) {
		return Inbox
	}
	name, stripped := cutPrefix(name, prefix)
	components := []string{name}
	if separator != 0 {
		components = strings.Split(name, string(separator))
	}
	for i, c := range components {
		components[i] = escapeComponent.Replace(c)
	}
	switch top := components[0]; {
	case !strings.EqualFold(top, string(Inbox)):
	case stripped && len(components) == 1:
		components[0] = fmt.Sprintf("%%%X%s", top[0], top[1:])
	default:
		components[0] = string(Inbox)
	}
	return FolderName(strings.Join(components, "/"))
}

// cutPrefix removes a namespace's prefix. Only the inbox at its beginning is
// without regard to case.
func cutPrefix(name, prefix string) (rest string, found bool) {
	n := 0
	if len(prefix) >= len(Inbox) && strings.EqualFold(prefix[:len(Inbox)], string(Inbox)) {
		n = len(Inbox)
	}
	if prefix == "" || len(name) <= len(prefix) || !strings.EqualFold(name[:n], prefix[:n]) || name[n:len(prefix)] != prefix[n:] {
		return name, false
	}
	return name[len(prefix):], true
}

// Wire spells the name as a store wants it; no two names are spelled alike,
// and FolderFromWire gives each back. A component that holds the store's
// separator cannot be told from two components there: that is a Permanent
// error, and the folder stays unmirrored and shown as such.
func (f FolderName) Wire(separator rune, prefix string) (string, error) {
	if f == Inbox {
		return string(Inbox), nil
	}
	components := f.Components()
	if separator == 0 && len(components) > 1 {
		return "", fault.Newf(fault.Permanent, "folder %s: this store has no folder hierarchy", f)
	}
	for _, c := range components {
		if separator != 0 && strings.ContainsRune(c, separator) {
			return "", fault.New(fault.Permanent, "folder "+string(f), nil,
				"the folder's name holds the other store's hierarchy separator; rename it on the source")
		}
	}
	name := prefix + strings.Join(components, string(separator))
	if strings.EqualFold(name, string(Inbox)) {
		return "", fault.New(fault.Permanent, "folder "+string(f), nil,
			"the other store cannot tell this folder from the inbox; rename it on the source")
	}
	return name, nil
}

// Components returns the unescaped parts of the name.
func (f FolderName) Components() []string {
	components := strings.Split(string(f), "/")
	for i, c := range components {
		components[i] = unescapeComponent.Replace(c)
	}
	return components
}

// Depth is the number of components.
func (f FolderName) Depth() int { return strings.Count(string(f), "/") + 1 }

// Parent returns the name one level up, or "" at the top.
func (f FolderName) Parent() FolderName {
	if i := strings.LastIndexByte(string(f), '/'); i >= 0 {
		return f[:i]
	}
	return ""
}

// Patterns match folder names: "Name" matches the folder and all below it,
// without regard to case; "*" and "?" match within a component.
type Patterns []string

// DefaultGreetings is what a store uses that names no pattern of its own.
var DefaultGreetings = Patterns{"Greetings"}

// Validate reports a pattern that can never match.
func (p Patterns) Validate() error {
	for _, pattern := range p {
		_, err := path.Match(pattern, "")
		if err != nil || pattern == "" || strings.HasPrefix(pattern, "/") || strings.HasSuffix(pattern, "/") {
			return fault.New(fault.Config, "folder pattern "+pattern, err, `use names and the wildcards * and ?, for instance "Greetings"`)
		}
	}
	return nil
}

// Match reports whether f or a folder above it matches one of the patterns.
func (p Patterns) Match(f FolderName) bool {
	for name := FolderName(strings.ToLower(string(f))); name != ""; name = name.Parent() {
		for _, pattern := range p {
			if ok, err := path.Match(strings.ToLower(pattern), string(name)); err == nil && ok {
				return true
			}
		}
	}
	return false
}

// Role tells whether f holds messages or greetings on a store whose greeting
// folders match p.
func (p Patterns) Role(f FolderName) Role {
	if p.Match(f) {
		return RoleGreetings
	}
	return RoleMessages
}
