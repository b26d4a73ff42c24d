package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mailmirror/test/logged"
)

// errorTexts are the lines that show the text of an error, with whose error it is. The
// words of a store or of its directory may name folders and people, or quote a password:
// of its errors a line has the kind alone, as error_kind. The database has the text.
var errorTexts = map[string]string{
	"a figure of Temporal's SDK is not counted":                                 "Temporal's SDK",
	"child did not start again":                                                 "a process of this machine",
	"directory server of store not looked for":                                  "the database",
	"health not saved":                                                          "the database",
	"lease not released; it ends by itself":                                     "the database",
	"metrics are not served any more":                                           "the network of this machine",
	"no sign of life can be recorded":                                           "the database",
	"not told of changes of whom to listen to":                                  "the database",
	"passwords of the database cannot be opened, their stores are not mirrored": "the key file",
	"server of store not looked for":                                            "the database",
	"server of store not recorded":                                              "the database",
	"servers of stores not looked for":                                          "the database",
	"shares of load not given back; they end by themselves":                     "the database",
	"shares of load not renewed":                                                "the database",
	"the background work cannot be looked after":                                "the database, or Temporal",
	"the migration of the schema waits, and workers go on":                      "the database",
	"the schedules of a link are not as they should be":                         "Temporal",
}

// logging is a function that logs: one of a logger, or one of a package that gets the
// message as a parameter.
type logging struct {
	level   string
	message int // which argument is the message
}

var loggers = map[string]logging{
	"Debug": {"Debug", 0}, "Info": {"Info", 0}, "Warn": {"Warn", 0}, "Error": {"Error", 0},
	"DebugContext": {"Debug", 1}, "InfoContext": {"Info", 1}, "WarnContext": {"Warn", 1}, "ErrorContext": {"Error", 1},
}

// statement is a call that logs.
type statement struct {
	at, level, message string
	showsError         bool
}

// statements are the calls of a package that log, and its faults: messages that are no
// constants.
func statements(fset *token.FileSet, files []*ast.File) (found []statement, faults []string) {
	wrappers := map[string]logging{}
	for _, functions := range []map[string]logging{loggers, wrappers} {
		for _, f := range files {
			var within []ast.Node
			ast.Inspect(f, func(n ast.Node) bool {
				if n == nil {
					within = within[:len(within)-1]
					return true
				}
				within = append(within, n)
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				l, logs := functions[called(call)]
				if !logs || len(call.Args) <= l.message {
					return true
				}
				at := fmt.Sprint(fset.Position(call.Pos()))
				if text, ok := literal(call.Args[l.message]); ok {
					shows := slices.ContainsFunc(call.Args, func(a ast.Expr) bool { key, ok := literal(a); return ok && key == "error" })
					found = append(found, statement{at, l.level, text, shows})
				} else if name, i, ok := parameter(within, call.Args[l.message]); ok {
					wrappers[name] = logging{l.level, i}
				} else if len(call.Args) > l.message+1 {
					faults = append(faults, at+": the message of this line is no constant")
				}
				return true
			})
		}
	}
	return found, faults
}

// called is the name of a function or method that is called.
func called(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// parameter finds the function that has e as a parameter, of those around a call: its name
// and which parameter it is.
func parameter(within []ast.Node, e ast.Expr) (function string, index int, ok bool) {
	name, ok := e.(*ast.Ident)
	if !ok {
		return "", 0, false
	}
	for i, n := range slices.Backward(within) {
		var t *ast.FuncType
		switch f := n.(type) {
		case *ast.FuncDecl:
			function, t = f.Name.Name, f.Type
		case *ast.FuncLit:
			function, t = "", f.Type
			if a, ok := within[i-1].(*ast.AssignStmt); ok && len(a.Lhs) == 1 {
				function = called(&ast.CallExpr{Fun: a.Lhs[0]})
			}
		default:
			continue
		}
		index := 0
		for _, field := range t.Params.List {
			for _, p := range field.Names {
				if p.Name == name.Name {
					return function, index, function != ""
				}
				index++
			}
		}
	}
	return "", 0, false
}

// TestLinesAreKnown wants every line at level info in logged.Lines, and in a test. It wants
// no text of a store's error in any line.
func TestLinesAreKnown(t *testing.T) {
	info, tested, showing := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		for _, s := range sources(t, fset, p, p.TestGoFiles, p.XTestGoFiles) {
			if p.path() == "test/arch" {
				continue
			}
			ast.Inspect(s.file, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text, ok := literal(e); ok {
						tested[text] = true
					}
				}
				return true
			})
		}
		if r, _ := rowOf(p.path()); r.layer == helper {
			continue
		}
		var files []*ast.File
		for _, s := range sources(t, fset, p, p.GoFiles) {
			files = append(files, s.file)
		}
		found, faults := statements(fset, files)
		for _, fault := range faults {
			t.Error(fault)
		}
		for _, s := range found {
			info[s.message] = info[s.message] || s.level == "Info"
			if _, known := logged.Lines[s.message]; s.level == "Info" && !known {
				t.Errorf("%s: %q is not in logged.Lines: add it, with its keys and a test", s.at, s.message)
			}
			showing[s.message] = showing[s.message] || s.showsError
			if s.showsError && errorTexts[s.message] == "" {
				t.Errorf("%s: %q shows the text of an error: log its kind as error_kind, unless it cannot be a store's", s.at, s.message)
			}
		}
	}
	for message, line := range logged.Lines {
		if !info[message] {
			t.Errorf("no code logs %q: take it out of logged.Lines", message)
		}
		if !tested[message] {
			t.Errorf("no test wants the line %q", message)
		}
		keys := strings.Fields(line.Keys)
		if line.Without == "" && (!slices.Contains(keys, "link") || !slices.Contains(keys, "run_id")) {
			t.Errorf("%q has no link or no run_id", message)
		}
	}
	for message := range errorTexts {
		if !showing[message] {
			t.Errorf("%q shows no error: take it out of errorTexts", message)
		}
	}
}

func TestStatementsAreFound(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", `package p
func say(ctx C, what string) { log(ctx).Info(what, "error", err) }
func (l L) f() {
	tell := func(what string) { l.WarnContext(ctx, what, "key", 1) }
	tell("one")
	say(ctx, "two")
	l.Debug("three", "error", err)
	l.Info("four" + five, "key", 1)
	t.Error()
}`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found, faults := statements(fset, []*ast.File{file})
	var got []string
	for _, s := range found {
		got = append(got, fmt.Sprint(s.level, " ", s.message, " ", s.showsError))
	}
	if want := []string{"Debug three true", "Warn one false", "Info two false"}; !slices.Equal(got, want) || len(faults) != 1 {
		t.Errorf("found %q, faults %q; want %q", got, faults, want)
	}
}
