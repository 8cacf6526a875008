// Package recipes holds docs/recipes.md to the programs that it is made of.
package recipes

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the programs into the page")

const (
	root = "../.."
	page = root + "/docs/recipes.md"
)

// A block says before it which declarations of which file it is.
var included = regexp.MustCompile("<!-- (\\S+\\.go): ([^>]*?) -->\n```go\n((?s).*?)```\n")

func TestPageShowsThePrograms(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	fresh := included.ReplaceAllStringFunc(string(text), func(block string) string {
		m := included.FindStringSubmatch(block)
		code, err := declarations(filepath.Join(root, m[1]), strings.Fields(m[2]))
		if err != nil {
			t.Error(err)
			return block
		}
		if code != m[3] && !*update {
			t.Errorf("the page shows\n%s\nbut %s has\n%s", m[3], m[1], code)
		}
		return fmt.Sprintf("<!-- %s: %s -->\n```go\n%s```\n", m[1], m[2], code)
	})
	if *update {
		if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if blocks, own := strings.Count(fresh, "```go\n"), len(included.FindAllString(fresh, -1)); blocks != own || own < 17 {
		t.Errorf("%d blocks of code, %d of them from programs", blocks, own)
	}
}

// Each program is on the page, and has a test.
func TestEveryRecipeIsShownAndTested(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, m := range included.FindAllStringSubmatch(string(text), -1) {
		shown[filepath.Dir(m[1])] = true
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !shown["examples/recipes/"+e.Name()] {
			t.Errorf("%s is not on the page", e.Name())
		}
	}
	for dir := range shown {
		if tests, err := filepath.Glob(filepath.Join(root, dir, "*_test.go")); err != nil || len(tests) == 0 {
			t.Errorf("%s has no test (%v)", dir, err)
		}
	}
}

// declarations returns the source of top-level declarations of a file, in the order
// asked for. A method is called Type.Method.
func declarations(path string, names []string) (string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	found := make(map[string]string)
	for _, decl := range file.Decls {
		from, doc := decl.Pos(), docOf(decl)
		if doc != nil {
			from = doc.Pos()
		}
		found[nameOf(decl)] = string(src[fset.Position(from).Offset:fset.Position(decl.End()).Offset]) + "\n"
	}
	var out []string
	for _, name := range names {
		code, ok := found[name]
		if !ok {
			return "", fmt.Errorf("%s declares no %s", path, name)
		}
		out = append(out, code)
	}
	return strings.Join(out, "\n"), nil
}

func docOf(decl ast.Decl) *ast.CommentGroup {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return d.Doc
	case *ast.GenDecl:
		return d.Doc
	}
	return nil
}

func nameOf(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		typ := d.Recv.List[0].Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		return fmt.Sprint(typ, ".", d.Name.Name)
	case *ast.GenDecl:
		if spec, ok := d.Specs[0].(*ast.TypeSpec); ok {
			return spec.Name.Name
		}
	}
	return ""
}
