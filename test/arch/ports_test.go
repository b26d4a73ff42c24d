package arch

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// maxMethods is how many methods an interface has at the most: what is behind it
// must be simple enough to be written twice, once for tests.
const maxMethods = 10

// TestPortsAreSmall counts the methods of every interface of the products, those of
// embedded ones included, and wants a comment that names each method of an exported one.
//
// The limit is not on copier.Session: it is no port by itself. It says that one connection
// is a Reader, a Writer and Folders, of which the limit is on each.
func TestPortsAreSmall(t *testing.T) {
	ports := map[string]port{}
	for _, p := range packages(t) {
		if r, _ := rowOf(p.path()); r.layer == helper {
			continue
		}
		for _, s := range sources(t, token.NewFileSet(), p, p.GoFiles) {
			if !s.generated() {
				findPorts(ports, p.path(), s.file)
			}
		}
	}
	if len(ports) < 30 {
		t.Fatalf("only %d interfaces were found", len(ports))
	}
	if _, ok := ports["internal/copier.Session"]; !ok {
		t.Error("there is no copier.Session any more")
	}
	delete(ports, "internal/copier.Session")
	for name, p := range ports {
		if n := methodsOf(ports, name); n > maxMethods {
			t.Errorf("interface %s has %d methods, %d is the limit: split it by what its users need", name, n, maxMethods)
		}
		for _, method := range p.unnamed {
			t.Errorf("no comment of interface %s names the method %s: say what it does, and with which errors it fails", name, method)
		}
	}
}

// port is an interface: how many methods it declares, what it embeds, and which of its
// methods no comment names.
type port struct {
	methods  int
	embedded []string
	unnamed  []string
}

func findPorts(ports map[string]port, of string, file *ast.File) {
	imports := map[string]string{}
	for _, i := range file.Imports {
		whole, _ := strconv.Unquote(i.Path.Value)
		if local, ours := inside(whole); ours {
			imports[path.Base(local)] = local
		}
	}
	var said string // before the declaration of a type
	ast.Inspect(file, func(n ast.Node) bool {
		if d, ok := n.(*ast.GenDecl); ok {
			said = d.Doc.Text()
		}
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		i, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		var found port
		text := said + spec.Doc.Text()
		for _, f := range i.Methods.List {
			text += f.Doc.Text() + f.Comment.Text()
		}
		for _, f := range i.Methods.List {
			switch e := f.Type.(type) {
			case *ast.FuncType:
				found.methods++
				if name := f.Names[0].Name; spec.Name.IsExported() && !slices.Contains(words(text), name) {
					found.unnamed = append(found.unnamed, name)
				}
			case *ast.Ident:
				found.embedded = append(found.embedded, of+"."+e.Name)
			case *ast.SelectorExpr:
				if x, ok := e.X.(*ast.Ident); ok {
					found.embedded = append(found.embedded, imports[x.Name]+"."+e.Sel.Name)
				}
			}
		}
		ports[of+"."+spec.Name.Name] = found
		return true
	})
}

func methodsOf(ports map[string]port, name string) int {
	n := ports[name].methods
	for _, e := range ports[name].embedded {
		n += methodsOf(ports, e)
	}
	return n
}

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
