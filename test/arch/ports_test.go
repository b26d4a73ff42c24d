package arch

import (
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"testing"
)

// maxMethods is how many methods an interface has at the most: what is behind it
// must be simple enough to be written twice, once for tests.
const maxMethods = 12

// TestPortsAreSmall counts the methods of every interface of the products, those of
// embedded ones included.
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
	// One connection is a Reader, a Writer and Folders, each a port by itself.
	delete(ports, "internal/copier.Session")
	for name := range ports {
		if n := methodsOf(ports, name); n > maxMethods {
			t.Errorf("interface %s has %d methods, %d is the limit: split it by what its users need", name, n, maxMethods)
		}
	}
}

// port is an interface: how many methods it declares, and what it embeds.
type port struct {
	methods  int
	embedded []string
}

func findPorts(ports map[string]port, of string, file *ast.File) {
	imports := map[string]string{}
	for _, i := range file.Imports {
		whole, _ := strconv.Unquote(i.Path.Value)
		if local, ours := inside(whole); ours {
			imports[path.Base(local)] = local
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		i, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		var found port
		for _, f := range i.Methods.List {
			switch e := f.Type.(type) {
			case *ast.FuncType:
				found.methods += len(f.Names)
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
