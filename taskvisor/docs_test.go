package taskvisor_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The tests of this file hold the documents to the code: what they name exists.

// repository is the root of the repository, seen from this package.
const repository = ".."

var (
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)[A-Z]\w*)\(`)
	// A row of docs/lessons.md that does not say whose lesson it is.
	anonymous = regexp.MustCompile(`^\| (an? |another |some |two |three |four )`)
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// walk calls f for every file of the repository with the given suffix, but for
// what is not part of it.
func walk(t *testing.T, suffix string, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name != repository && (name[0] == '.' || name == "node_modules" || name == "tmp") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, suffix) {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f(path, string(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// existingTests returns the names of all tests of all modules, and those of
// the conformance suite, which is a test that others call.
func existingTests(t *testing.T) map[string]bool {
	names := map[string]bool{"TestSubscriber": true}
	walk(t, "_test.go", func(_, text string) {
		for _, m := range testFunc.FindAllStringSubmatch(text, -1) {
			names[m[1]] = true
		}
	})
	return names
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each defect in docs/lessons.md is owned by at least one test that exists.
func TestLessonsAreOwnedByTests(t *testing.T) {
	exists := existingTests(t)
	rows := 0
	for line := range strings.Lines(readDocument(t, "docs/lessons.md")) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Who") {
			continue
		}
		rows++
		if anonymous.MatchString(line) {
			t.Errorf("no source in: %s", line)
		}
		named := testName.FindAllString(line, -1)
		if len(named) == 0 {
			t.Errorf("no test in: %s", line)
		}
		for _, name := range named {
			if !exists[name] {
				t.Errorf("no test of the name %s, needed by: %s", name, line)
			}
		}
	}
	if rows < 55 {
		t.Errorf("the table has %d rows, fewer than it had", rows)
	}
}

// Each invariant in ARCHITECTURE.md names the test that holds it.
func TestArchitectureNamesExistingTests(t *testing.T) {
	exists := existingTests(t)
	for _, name := range testName.FindAllString(readDocument(t, "ARCHITECTURE.md"), -1) {
		if !exists[name] {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", name)
		}
	}
}

// Every link of a document to a file of the repository leads somewhere.
func TestDocumentsLinkToFiles(t *testing.T) {
	walk(t, ".md", func(path, text string) {
		if strings.Contains(filepath.ToSlash(path), "/cmd/") {
			return // a template, whose links are those of the page that is made of it
		}
		for _, m := range mdLink.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, ":") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			}
		}
	})
}

// Numbers of the defaults that documents repeat.
func TestDocumentsRepeatTheDefaults(t *testing.T) {
	for doc, numbers := range map[string][]string{
		"docs/production.md": {"20 s", "5 s", "65 536", "waits in a slot (100)"},
		"README.md":          {"20 s", "5 s", "100 by default"},
	} {
		text := readDocument(t, doc)
		for _, n := range numbers {
			if !strings.Contains(text, n) {
				t.Errorf("%s does not say %q", doc, n)
			}
		}
	}
}

// What SECURITY.md promises: nothing that users import can open a connection or
// start a process. The standard library's own dependencies do not count: a call
// would need an import here.
func TestCoreImportsNoNetwork(t *testing.T) {
	for _, dir := range []string{".", "taskvisortest", "../subscribers/slog"} {
		for path, f := range sources(t, dir) {
			for _, spec := range f.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if name == "net" || strings.HasPrefix(name, "net/") || name == "os/exec" || name == "plugin" || name == "unsafe" {
					t.Errorf("%s imports %s", path, name)
				}
			}
		}
	}
}

// Nobody is written to behind his back: print and println, which go to stderr, are for
// debugging and do not stay.
func TestNothingPrintsForDebugging(t *testing.T) {
	walk(t, ".go", func(path, text string) {
		if strings.HasSuffix(path, "_test.go") || strings.Contains(filepath.ToSlash(path), "/testdata/") {
			return
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && (name.Name == "print" || name.Name == "println") {
					t.Errorf("%s calls %s", set.Position(call.Pos()), name.Name)
				}
			}
			return true
		})
	})
}

// The root module requires nothing, and has therefore nothing to sum up.
func TestCoreRequiresNothing(t *testing.T) {
	for line := range strings.Lines(readDocument(t, "go.mod")) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word != "" && word != "module" && word != "go" {
			t.Errorf("go.mod says %s", line)
		}
	}
	if _, err := os.Stat(filepath.Join(repository, "go.sum")); !os.IsNotExist(err) {
		t.Errorf("go.sum: %v, want none", err)
	}
}

// Every exported name of the core and of taskvisortest has a comment.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, dir := range []string{".", "taskvisortest"} {
		for path, f := range sources(t, dir) {
			for _, name := range undocumented(f) {
				t.Errorf("%s: %s has no comment", path, name)
			}
		}
	}
}

// What a newcomer looks up in go doc has an example there, which is run.
func TestExamplesInGoDoc(t *testing.T) {
	var text strings.Builder
	for _, pattern := range []string{"*_test.go", "taskvisortest/*_test.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(src)
		}
	}
	for _, name := range strings.Fields(`Go Fatal RetryAfter WithEssential Supervisor_StopSlot Handle Handle_RunNow Handle_Pause
		Handle_Interrupt Gate NewLimit After Ready Scheduled Beat Script Periodic Await Subscribe AttemptBracket
		Supervisor_Run Supervisor_Add Supervisor_Submit Supervisor_Snapshot Supervisor_Shutdown`) {
		_, body, _ := strings.Cut(text.String(), "\nfunc Example"+name+"() {\n")
		body, _, _ = strings.Cut(body, "\n}\n")
		if !strings.Contains(body, "\n\t// Output:") {
			t.Errorf("no example of %s with its output", strings.ReplaceAll(name, "_", "."))
		}
	}
	if !strings.Contains(text.String(), "\nfunc ExampleTestSubscriber() {") {
		t.Error("no example of TestSubscriber")
	}
}

// sources parses the files of a package, without its tests.
func sources(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = f
	}
	if len(files) == 0 {
		t.Fatalf("no source in %s", dir)
	}
	return files
}

// undocumented returns the exported names that a file declares at the top level
// without a comment.
func undocumented(f *ast.File) (names []string) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedSpec(d, spec)...)
			}
		}
	}
	return names
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) (names []string) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
			names = append(names, s.Name.Name)
		}
	case *ast.ValueSpec:
		if s.Doc == nil && s.Comment == nil && d.Doc == nil {
			for _, n := range s.Names {
				if n.IsExported() {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// exportedReceiver reports whether d is a function or a method of an exported
// type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return !ok || name.IsExported()
}
