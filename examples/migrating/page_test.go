package migrating

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the programs into the page")

const page = "../../docs/migrating.md"

// A comment names a file; what follows it, up to the end of a block if there is one, is
// the file.
var included = regexp.MustCompile("<!-- (\\w+\\.go) -->\n(?:\n?(?:Before|After):\n\n```go\n(?s:.*?)```\n)?")

// The page shows the programs as they are, without the package clause and the imports
// of the standard library.
func TestPageShowsThePrograms(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	fresh := included.ReplaceAllStringFunc(string(text), func(block string) string {
		name := included.FindStringSubmatch(block)[1]
		code, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			return block
		}
		shown++
		label := "Before"
		if strings.HasSuffix(name, "_after.go") {
			label = "After"
		}
		want := "<!-- " + name + " -->\n\n" + label + ":\n\n```go\n" + body(string(code)) + "```\n"
		if block != want && !*update {
			t.Errorf("the page differs from %s: go test -run %s -update", name, t.Name())
		}
		return want
	})
	if *update {
		if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if blocks := strings.Count(fresh, "```go\n"); blocks != shown || shown != 13 {
		t.Errorf("%d blocks of Go, %d of them from files", blocks, shown)
	}
}

// body is a file from the end of its imports on.
func body(code string) string {
	_, after, _ := strings.Cut(code, "\n)\n\n")
	return after
}
