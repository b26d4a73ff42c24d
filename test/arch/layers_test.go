package arch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// doesIO are the packages of the standard library by which a pure package
// would reach the world. time is judged by what is called: see clock.
var doesIO = []string{"net", "os", "io/ioutil", "database/sql", "syscall", "log", "embed", "plugin", "unsafe",
	"math/rand", "crypto/rand", "runtime", "testing"}

func TestEveryPackageIsInTheTable(t *testing.T) {
	for _, p := range packages(t) {
		if _, ok := rowOf(p.path()); !ok {
			t.Errorf("%s is not in the table: say in test/arch/table_test.go what it may import", p.path())
		}
	}
}

// TestEveryFolderIsLookedAt: a folder whose files need a build tag that load
// does not set would escape every other test. (Reading the folders also tells
// the test cache that a new one matters.)
func TestEveryFolderIsLookedAt(t *testing.T) {
	listed := map[string]bool{}
	for _, p := range packages(t) {
		listed[p.Dir] = true
	}
	err := filepath.WalkDir(root(), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone meanwhile
		case err != nil:
			return err
		case d.IsDir():
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			hidden := strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata"
			if path != root() && (err == nil || hidden || path == filepath.Join(root(), "bin") || path == filepath.Join(root(), "data")) {
				return fs.SkipDir
			}
		case strings.HasSuffix(path, ".go") && !listed[filepath.Dir(path)]:
			t.Errorf("%s was not looked at: add its build tag to load", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestImportsKeepToTheTable(t *testing.T) {
	for _, p := range packages(t) {
		r, ok := rowOf(p.path())
		if !ok || r.anything {
			continue
		}
		for _, imported := range p.Imports {
			path, ours := inside(imported)
			switch {
			case ours && !exactly(path, r.inside) && !(r.layer == helper && sameTree(p.path(), path)):
				t.Errorf("%s imports %s, which its row in the table does not allow", p.path(), path)
			case !ours && !standard(imported) && !below(imported, r.outside):
				t.Errorf("%s imports %s, which its row in the table does not allow", p.path(), imported)
			case r.layer == pure && standard(imported) && below(imported, doesIO) && !slices.Contains(r.std, imported):
				t.Errorf("%s is pure and imports %s", p.path(), imported)
			}
		}
	}
}

// sameTree reports whether b lies below a in the tree of tests.
func sameTree(a, b string) bool { return strings.HasPrefix(b, a+"/") }

func TestNobodyReachesWhatItMustNotKnow(t *testing.T) {
	for _, p := range packages(t) {
		r, _ := rowOf(p.path())
		for _, never := range r.never {
			reached := func(dep string) bool { return below(dep, []string{never}) }
			if i := slices.IndexFunc(p.Deps, reached); i >= 0 {
				t.Errorf("%s reaches %s, which it must never know: `go list -deps ./%s` shows by which way", p.path(), p.Deps[i], p.path())
			}
		}
	}
}

func TestOnlyAppConstructsAdapters(t *testing.T) {
	for _, p := range packages(t) {
		importer, _ := rowOf(p.path())
		if importer.layer == helper || p.path() == "internal/app" {
			continue
		}
		for _, imported := range p.Imports {
			path, ours := inside(imported)
			if !ours {
				continue
			}
			if r, _ := rowOf(path); r.layer == adapter && !sameTree(p.path(), path) {
				t.Errorf("%s imports the adapter %s: only internal/app does", p.path(), path)
			}
		}
	}
}

func TestProductsDoNotImportTests(t *testing.T) {
	for _, p := range packages(t) {
		if r, _ := rowOf(p.path()); r.layer == helper {
			continue
		}
		for _, imported := range p.Imports {
			path, ours := inside(imported)
			if r, _ := rowOf(path); (ours && (r.layer == helper || strings.HasPrefix(path, "test/"))) || imported == "testing" {
				t.Errorf("%s imports %s, which is for tests", p.path(), imported)
			}
		}
	}
}

// TestTheTableIsOrderly keeps the table itself honest.
func TestTheTableIsOrderly(t *testing.T) {
	rank := map[layer]int{pure: 0, support: 1, orchestration: 2, adapter: 3, composition: 4, helper: 5}
	for path, r := range table {
		for _, in := range r.inside {
			if strings.HasPrefix(in, "test") {
				continue
			}
			other, ok := table[in]
			switch {
			case !ok:
				t.Errorf("the row of %s allows %s, which has no row", path, in)
			case rank[other.layer] > rank[r.layer]:
				t.Errorf("the row of %s allows %s of a higher layer", path, in)
			case other.layer == adapter && r.layer == adapter && !sameTree(path, in):
				t.Errorf("the row of %s allows another adapter, %s", path, in)
			}
		}
		if r.layer == pure && len(r.outside) > 0 {
			t.Errorf("%s is pure and its row allows %v", path, r.outside)
		}
	}
}
