package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a file is to be split by topic.
const maxLines = 500

// clock are the functions of package time that read or wait for the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// source is one parsed file.
type source struct {
	name string // relative to the module's root
	text []byte
	file *ast.File
}

func (s source) generated() bool { return ast.IsGenerated(s.file) }

// sources parses files of a package.
func sources(t *testing.T, fset *token.FileSet, p pkg, lists ...[]string) []source {
	t.Helper()
	var out []source
	for _, name := range slices.Concat(lists...) {
		path := filepath.Join(p.Dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse: %v", err)
			continue
		}
		rel, _ := filepath.Rel(root(), path)
		out = append(out, source{rel, text, file})
	}
	return out
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, s := range sources(t, token.NewFileSet(), p, p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			if n := bytes.Count(s.text, []byte("\n")); n > maxLines && !s.generated() {
				t.Errorf("%s has %d lines: split it by topic, %d is the limit", s.name, n, maxLines)
			}
		}
	}
}

func TestPurePackagesDoNotReadTheClock(t *testing.T) {
	for _, p := range packages(t) {
		if r, _ := rowOf(p.path()); r.layer != pure {
			continue
		}
		fset := token.NewFileSet()
		for _, s := range sources(t, fset, p, p.GoFiles) {
			ast.Inspect(s.file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
					t.Errorf("%s:%d: time.%s in a pure package: take the time as an argument", s.name, fset.Position(n.Pos()).Line, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func TestProductsHaveNoInitAndNoChangingGlobals(t *testing.T) {
	for _, p := range packages(t) {
		if r, _ := rowOf(p.path()); r.layer == helper {
			continue
		}
		fset := token.NewFileSet()
		var files []*ast.File
		for _, s := range sources(t, fset, p, p.GoFiles) {
			if !s.generated() {
				files = append(files, s.file)
			}
		}
		for _, fault := range globals(fset, p.ImportPath, files) {
			t.Error(fault)
		}
	}
}

// globals returns the faults of a package's files: init functions, and writes
// to variables of the package. A variable that nobody writes to is a constant
// that Go cannot spell.
func globals(fset *token.FileSet, path string, files []*ast.File) []string {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	// Only names of the package itself must resolve, so the packages that it
	// imports may be empty, and the errors that come of that do not matter.
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	checked, _ := conf.Check(path, fset, files, info)
	var faults []string
	report := func(n ast.Node, what string) {
		at := fset.Position(n.Pos())
		rel, _ := filepath.Rel(root(), at.Filename)
		faults = append(faults, rel+":"+at.String()[len(at.Filename)+1:]+": "+what)
	}
	written := func(e ast.Expr) {
		if v, ok := info.Uses[base(e)].(*types.Var); ok && checked != nil && v.Parent() == checked.Scope() {
			report(e, "writes to the package's variable "+v.Name()+": pass it where it is needed")
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					report(n, "has an init function: construct it where it is used")
				}
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						written(e)
					}
				}
			case *ast.IncDecStmt:
				written(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					written(n.X)
				}
			case *ast.CallExpr:
				if fun, ok := n.Fun.(*ast.Ident); ok && (fun.Name == "delete" || fun.Name == "clear") && len(n.Args) > 0 {
					written(n.Args[0])
				}
			}
			return true
		})
	}
	return faults
}

// base returns the variable at the root of an expression, or nil.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// noImports gives every import as an empty package.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

var nolint = regexp.MustCompile(`//\s*nolint(:\S+)?(.*)`)

// TestNothingIsSkippedWithoutAReason reads every file, tests too: a test that
// is skipped in silence proves nothing to anybody, and a linter's finding that
// is silenced needs to say why.
func TestNothingIsSkippedWithoutAReason(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		for _, s := range sources(t, fset, p, p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			for _, fault := range skips(fset, s.file) {
				t.Errorf("%s:%s", s.name, fault)
			}
		}
	}
}

func skips(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	report := func(n ast.Node, what string) {
		faults = append(faults, strings.TrimPrefix(fset.Position(n.Pos()).String(), fset.Position(n.Pos()).Filename+":")+": "+what)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
			if sel.Sel.Name == "SkipNow" || (sel.Sel.Name == "Skip" && len(call.Args) == 0) {
				report(n, "skips without a reason")
			}
		}
		return true
	})
	for _, group := range file.Comments {
		for _, c := range group.List {
			m := nolint.FindStringSubmatch(c.Text)
			if m == nil || !strings.HasPrefix(c.Text, "//nolint") {
				continue
			}
			if _, reason, ok := strings.Cut(m[2], "//"); m[1] == "" || !ok || strings.TrimSpace(reason) == "" {
				report(c, "silences a linter without its name and a reason: //nolint:name // why")
			}
		}
	}
	return faults
}

// TestTheChecksFindWhatTheyLookFor feeds the checks what they must refuse.
func TestTheChecksFindWhatTheyLookFor(t *testing.T) {
	const text = `package p

import "time"

var counter, limit int
var list []int
var index = map[string]int{}
var fixed = []string{"a"}

func init() { counter++ }

func f(t interface{ Skip(...any); SkipNow() }) {
	counter = 1
	index["a"] = 2
	delete(index, "a")
	list = append(list, limit)
	p := &limit
	{
		counter := 3
		counter++
		_ = counter
	}
	_, _ = fixed, p
	t.Skip()
	t.SkipNow()
	t.Skip("why")
	_ = time.Now() //nolint
	_ = time.Now() //nolint:forbidigo
	_ = time.Now() //nolint:forbidigo // because
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, filepath.Join(root(), "p.go"), text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	lines := func(faults []string) string {
		var out []string
		for _, f := range faults {
			out = append(out, regexp.MustCompile(`(\d+):\d+:`).FindStringSubmatch(f)[1])
		}
		return strings.Join(out, " ")
	}
	if got, want := lines(globals(fset, "p", []*ast.File{file})), "10 10 13 14 15 16 17"; got != want {
		t.Errorf("globals are found in lines %s, want %s", got, want)
	}
	if got, want := lines(skips(fset, file)), "24 25 27 28"; got != want {
		t.Errorf("skips are found in lines %s, want %s", got, want)
	}
}
