package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are read where they exist.
var documents = []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"}

var (
	// repoPath finds what looks like a path of this repository: it begins with
	// one of its folders, and not in the middle of a URL or of another path.
	repoPath = regexp.MustCompile(`(?:^|[^\w./:-])((?:\./)?(?:workflows|activities|worker|starter|internal|deploy|test)/[\w./*{},-]*)`)
	// link finds relative links of Markdown.
	link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
)

func TestPathsInDocumentsExist(t *testing.T) {
	for _, name := range documents {
		text, err := os.ReadFile(filepath.Join(root(), name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range pathsIn(string(text)) {
			found, err := filepath.Glob(filepath.Join(root(), path))
			if err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", name, path)
			}
		}
	}
}

// pathsIn returns the repository's paths that a text names, for Glob.
func pathsIn(text string) []string {
	var out []string
	for _, re := range []*regexp.Regexp{repoPath, link} {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			path := strings.TrimSuffix(m[1], "...")
			path = strings.TrimRight(path, ".,/-")
			for _, p := range alternatives(strings.TrimPrefix(path, "./")) {
				if !slices.Contains(out, p) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// alternatives writes out one group in braces: a/{b,c} is a/b and a/c.
func alternatives(path string) []string {
	before, rest, ok := strings.Cut(path, "{")
	group, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		before, _, _ = strings.Cut(path, ",")
		return []string{strings.TrimRight(before, "{}")}
	}
	var out []string
	for part := range strings.SplitSeq(group, ",") {
		out = append(out, before+part+after)
	}
	return out
}

func TestPathsAreFoundInText(t *testing.T) {
	text := "See `internal/copier/doc.go`, ./test/arch/... and [the map](ARCHITECTURE.md#map); " +
		"not https://example.org/test/page, bin/worker/x or go.temporal.io/sdk/internal/thing.\n" +
		"internal/{fault,mailbox}/*.go\n\tdeploy/."
	got := strings.Join(pathsIn(text), " ")
	want := "internal/copier/doc.go test/arch internal/fault/*.go internal/mailbox/*.go deploy ARCHITECTURE.md"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
