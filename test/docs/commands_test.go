package docs

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailmirror/internal/cli"
	"mailmirror/internal/config"
)

// code is something that a document shows as code.
type code struct {
	text string
	// whole is true for a line of a block, which a reader copies as it is. What stands
	// within a sentence may be a part of a command.
	whole bool
}

var (
	span = regexp.MustCompile("`([^`]+)`")
	// siblings finds further subcommands after a command: `store add`, `check`, `list`.
	siblings = regexp.MustCompile("`([^`]+)`((?:, `[a-z-]+`)+)")
	comment  = regexp.MustCompile(`(^|\s+)#.*`)
)

// codeIn returns the code of a document in Markdown, block by line.
func codeIn(text string) []code {
	var out []code
	var prose strings.Builder
	fenced, blank, block := false, true, false
	joined := ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			fenced = !fenced
			blank = false
		case fenced, strings.HasPrefix(line, "    ") && (blank || block):
			block = !fenced
			joined += strings.TrimSuffix(comment.ReplaceAllString(trimmed, ""), `\`)
			if !strings.HasSuffix(trimmed, `\`) {
				out = append(out, code{joined, true})
				joined = ""
			}
		default:
			block, blank = false, trimmed == ""
			prose.WriteString(line)
		}
	}
	for _, m := range span.FindAllStringSubmatch(prose.String(), -1) {
		out = append(out, code{strings.Join(strings.Fields(m[1]), " "), false})
	}
	for _, m := range siblings.FindAllStringSubmatch(prose.String(), -1) {
		words := strings.Fields(m[1])
		if len(words) < 2 || words[0] != "mailmirror" {
			continue
		}
		group := strings.Join(words[:2], " ")
		for _, name := range span.FindAllStringSubmatch(m[2], -1) {
			out = append(out, code{group + " " + name[1], false})
		}
	}
	return out
}

// targets are the Makefile's targets, its variables with "=", and the programs that
// it builds into bin/.
func targets(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):|^([A-Z]+) *\?=|\$\(BIN\)(/[a-z-]+)`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		switch {
		case m[1] != "":
			out = append(out, m[1])
		case m[2] != "":
			out = append(out, m[2]+"=")
		default:
			out = append(out, "bin"+m[3])
		}
	}
	return out
}

// checker knows what exists.
type checker struct {
	targets []string
	// settings are the keys of the configuration.
	settings []string
}

func newChecker(t *testing.T) checker {
	t.Helper()
	c := checker{targets: targets(t)}
	for _, s := range config.Defaults().Effective() {
		c.settings = append(c.settings, s.Key)
	}
	return c
}

var setting = regexp.MustCompile(`^([a-z]+)\.[a-z_]+$`)

// check returns what is wrong with a piece of code.
func (c checker) check(piece code) error {
	words := split(piece.text)
	if len(words) == 0 {
		return nil
	}
	first, tree := words[0], cli.Tree()
	if strings.HasPrefix(first, "bin/") && !slices.Contains(c.targets, first) {
		return errors.New("make builds no such program")
	}
	switch {
	case first == "make":
		for _, argument := range words[1:] {
			name, _, assigns := strings.Cut(argument, "=")
			if assigns {
				name += "="
			}
			if !slices.Contains(c.targets, name) {
				return fmt.Errorf("the Makefile has no %s", name)
			}
		}
	case filepath.Base(first) == "mailmirror":
		return command(tree, words[1:], piece.whole)
	case piece.whole:
	case strings.HasPrefix(first, "--"):
		return flagOfAny(tree, first)
	case setting.MatchString(piece.text):
		section := setting.FindStringSubmatch(piece.text)[1] + "."
		if slices.ContainsFunc(c.settings, func(key string) bool { return strings.HasPrefix(key, section) }) && !slices.Contains(c.settings, piece.text) {
			return errors.New("there is no such setting")
		}
	case slices.ContainsFunc(tree.Commands(), func(sub *cobra.Command) bool { return sub.Name() == first }):
		return command(tree, words, false)
	}
	return nil
}

var (
	shellWord = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	quotes    = strings.NewReplacer(`'`, "", `"`, "")
)

// split is a shell's, for what the documents need: words, in quotes or not, up to the
// end of the command.
func split(line string) []string {
	var out []string
	for _, m := range shellWord.FindAllString(line, -1) {
		if slices.Contains([]string{"|", ">", "<", "&&", ";"}, m) || strings.HasPrefix(m, "<<") {
			break
		}
		out = append(out, quotes.Replace(m))
	}
	if len(out) > 0 && (out[0] == "$" || out[0] == "sudo" || out[0] == "exec") {
		out = out[1:]
	}
	return out
}

// command checks the words after the program's name. If it is whole, it has every
// argument and flag that the command wants.
func command(cmd *cobra.Command, words []string, whole bool) error {
	var args, given []string
	for i := 0; i < len(words); i++ {
		word := strings.Trim(words[i], "[],")
		if name, isFlag := strings.CutPrefix(word, "-"); isFlag && name != "" {
			name, _, assigns := strings.Cut(strings.TrimPrefix(name, "-"), "=")
			f := cmd.Flag(name)
			if f == nil && len(name) == 1 {
				f = shorthand(cmd, name)
			}
			if f == nil && name == "help" {
				return nil
			}
			if f == nil {
				return fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
			}
			given = append(given, f.Name)
			if f.NoOptDefVal == "" && !assigns {
				i++
				if i == len(words) && whole {
					return fmt.Errorf("--%s has no value", name)
				}
			}
			continue
		}
		switch {
		case word == "...":
			whole = false
		case cmd.HasSubCommands() && word == strings.ToUpper(word):
			return nil // `mailmirror COMMAND --help`
		case cmd.HasSubCommands():
			at := slices.IndexFunc(cmd.Commands(), func(sub *cobra.Command) bool { return sub.Name() == word })
			if at < 0 {
				return fmt.Errorf("%s has no command %q", cmd.CommandPath(), word)
			}
			cmd = cmd.Commands()[at]
		default:
			args = append(args, word)
		}
	}
	if !whole {
		return nil
	}
	var missing error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !slices.Contains(given, f.Name) {
			missing = fmt.Errorf("%s needs --%s", cmd.CommandPath(), f.Name)
		}
	})
	return errors.Join(missing, cmd.ValidateArgs(args))
}

func shorthand(cmd *cobra.Command, letter string) *pflag.Flag {
	for c := cmd; c != nil; c = c.Parent() {
		if f := c.PersistentFlags().ShorthandLookup(letter); f != nil {
			return f
		}
	}
	return cmd.Flags().ShorthandLookup(letter)
}

// flagOfAny checks a flag that stands by itself: some command has it.
func flagOfAny(cmd *cobra.Command, flag string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	if cmd.Flag(name) != nil {
		return nil
	}
	for _, sub := range cmd.Commands() {
		if flagOfAny(sub, flag) == nil {
			return nil
		}
	}
	return errors.New("no command has this flag")
}

func TestCommandsInDocumentsExist(t *testing.T) {
	c, seen := newChecker(t), 0
	for _, name := range files(t, ".md") {
		for _, piece := range codeIn(read(t, name)) {
			seen++
			if err := c.check(piece); err != nil {
				t.Errorf("%s: %s: %v", name, piece.text, err)
			}
		}
	}
	if seen < 300 {
		t.Errorf("found only %d pieces of code", seen)
	}
}

func TestCommandsAreFoundInText(t *testing.T) {
	c := newChecker(t)
	text := "Run `make build`, `mailmirror store add`, `check`, `list`, and `guard set L --folder-share 3`\n" +
		"where `lease.ttl` or `--max-idle`\nsays so.\n\n" +
		"    make soak SOAK='-for 1h'  # long\n    bin/mailmirror link add x \\\n        --source a --target b\n\n" +
		"1. First\n\n   ```sh\n   mailmirror verify site --deep | less\n   ```\n"
	for _, piece := range codeIn(text) {
		if err := c.check(piece); err != nil {
			t.Errorf("%s: %v", piece.text, err)
		}
	}
	for _, wrong := range []string{
		"`make bilud`", "`make demo DOME=once`", "`mailmirror sotre add`", "`mailmirror store add`, `chekc`", "`guard set L --folder-shaer 3`",
		"`lease.tlt`", "`--max-idel`", "`bin/mailmirorr`", "\n    mailmirror link add x --source a\n", "\n    mailmirror sync site\n",
		"\n```\nmailmirror verify site --deep --wiat\n```\n", "`mailmirror suspend\n--raeson x`", "`mailmirror status -x`",
	} {
		found := false
		for _, piece := range codeIn(wrong) {
			found = found || c.check(piece) != nil
		}
		if !found {
			t.Errorf("nothing is wrong with %q", wrong)
		}
	}
}

// named finds the command that a message of the program names.
var named = regexp.MustCompile(`(?:^|[^\w./=-])mailmirror ((?:[a-z][a-z-]*[a-z]|--[a-z-]+)(?: [a-z][a-z-]*[a-z]| --[a-z-]+)*)`)

// notCommands are messages in which the program's name is a word of the sentence.
var notCommands = regexp.MustCompile(`^(is up|derived key|of the release)\b`)

func TestCommandsInMessagesExist(t *testing.T) {
	tree, seen := cli.Tree(), 0
	for _, name := range files(t, ".go") {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "test/") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range named.FindAllStringSubmatch(text, -1) {
				if notCommands.MatchString(m[1]) {
					continue
				}
				seen++
				if err := command(tree, strings.Fields(m[1]), false); err != nil {
					t.Errorf("%s: %q: %v", name, m[0], err)
				}
			}
			return true
		})
	}
	if seen < 50 {
		t.Errorf("found only %d commands", seen)
	}
}
