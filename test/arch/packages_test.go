package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "mailmirror"

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath, Dir string
	// GoFiles are the package's own files, without tests.
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
	// Deps is everything that the package's own files reach.
	Deps []string
}

// path is the import path without the module's name.
func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// load lists every package of the module, once, with the files of every build
// tag that the project uses. A package that does not build is listed too: it
// is another test's business.
var load = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-e", "-tags=integration,browser",
		"-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(stderr.String()))
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
})

func packages(t *testing.T) []pkg {
	t.Helper()
	list, err := load()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	if len(list) < 5 {
		t.Fatalf("only %d packages were listed", len(list))
	}
	return list
}

// root is the module's folder: a test runs in the folder of its package.
func root() string {
	dir, err := os.Getwd()
	if err != nil {
		return "../.."
	}
	return filepath.Dir(filepath.Dir(dir))
}

// rowOf returns the table's row for a package: its own, or the nearest above
// it where that is a package for tests.
func rowOf(path string) (row, bool) {
	if r, ok := table[path]; ok {
		return r, true
	}
	for above := filepath.Dir(path); above != "."; above = filepath.Dir(above) {
		if r, ok := table[above]; ok && r.layer == helper {
			return r, true
		}
	}
	return row{}, false
}

// below reports whether path is one of the given packages or lies below one.
func below(path string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return path == a || strings.HasPrefix(path, a+"/")
	})
}

// exactly is below for the packages of this module, where a package does not
// come with those below it, unless it is the root of a tree of tests.
func exactly(path string, allowed []string) bool {
	return slices.Contains(allowed, path) || (slices.Contains(allowed, "test") && strings.HasPrefix(path, "test/"))
}

func inside(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// standard reports whether a path is of the standard library: its first
// element holds no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".") && first != module
}
