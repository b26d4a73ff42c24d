package mailbox

import "strings"

// FoldLogin returns a login, or a mailbox number, without its case. Two spellings
// with the same result may be one account: many servers ignore the case, and many do
// not. Upper case comes first because some letters have one upper and two lower forms.
func FoldLogin(login string) string {
	return strings.ToLower(strings.ToUpper(login))
}
