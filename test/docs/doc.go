// Package docs holds the tests of the texts: every path, make target, command, flag
// and setting that README.md and the other documents name exists, and the commands
// that the program's own messages name exist, too. The texts that are rewritten in
// plain English avoid the words that readers did not understand.
package docs
