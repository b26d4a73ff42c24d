package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository's folder.
const root = "../.."

var (
	// repoPath finds what looks like a path of this repository: it begins with
	// one of its folders, and not in the middle of a URL or of another path.
	repoPath = regexp.MustCompile(`(?:^|[^\w./:-])((?:\./)?(?:workflows|activities|worker|starter|internal|deploy|test)/[\w./*{},-]*)`)
	// link finds relative links of Markdown.
	link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
)

// files returns the repository's files whose names end with one of the endings, by
// their paths from its root. Built programs and generated code are not among them.
func files(t *testing.T, endings ...string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "testdata", "sqlcgen"}, name)) {
			return filepath.SkipDir
		}
		if slices.Contains(endings, filepath.Ext(name)) {
			relative, err := filepath.Rel(root, path)
			found = append(found, relative)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPathsInDocumentsExist(t *testing.T) {
	documents := files(t, ".md")
	if !slices.Contains(documents, "README.md") || !slices.Contains(documents, "internal/docs/stores.md") {
		t.Fatalf("only found %v", documents)
	}
	for _, name := range documents {
		for _, path := range pathsIn(filepath.Dir(name), read(t, name)) {
			found, err := filepath.Glob(filepath.Join(root, path))
			if err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", name, path)
			}
		}
	}
}

// pathsIn returns the repository's paths that a text names, for Glob. Links are
// relative to the folder of the text.
func pathsIn(folder, text string) []string {
	var out []string
	for _, re := range []*regexp.Regexp{repoPath, link} {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			path := strings.TrimSuffix(m[1], "...")
			path = strings.TrimRight(path, ".,/-")
			if re == link {
				path = filepath.Join(folder, path)
			}
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
	text := "See `internal/copier/doc.go`, ./test/arch/... and [the map](../ARCHITECTURE.md#map); " +
		"not https://example.org/test/page, bin/worker/x or go.temporal.io/sdk/internal/thing.\n" +
		"internal/{fault,mailbox}/*.go\n\tdeploy/."
	got := strings.Join(pathsIn("worker", text), " ")
	want := "internal/copier/doc.go test/arch internal/fault/*.go internal/mailbox/*.go deploy ARCHITECTURE.md"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// avoided are words of an earlier style that readers did not understand.
var avoided = regexp.MustCompile(`(?i)\b(log-ins?|told|taken|held up|given up|heard of|hears? of|mends?|figures|look-ups?)\b`)

func TestTextsAvoidWords(t *testing.T) {
	for _, name := range files(t, ".md") {
		if name != "README.md" && filepath.Dir(name) != "internal/docs" {
			continue
		}
		for i, line := range strings.Split(read(t, name), "\n") {
			if word := avoided.FindString(line); word != "" {
				t.Errorf("%s:%d: %q", name, i+1, word)
			}
		}
	}
}
