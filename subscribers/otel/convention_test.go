package otelsub_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// conventions returns the directory of the newest semantic conventions that the API module
// has, and their version.
func conventions(t *testing.T) (dir, version string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.opentelemetry.io/otel").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(strings.TrimSpace(string(out)), "semconv")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, e := range entries {
		if m := regexp.MustCompile(`^v1\.(\d+)\.0$`).FindStringSubmatch(e.Name()); m != nil {
			if n, _ := strconv.Atoi(m[1]); n > newest {
				newest, version = n, e.Name()
			}
		}
	}
	return filepath.Join(dir, version), version
}

// TestConventionsAreCurrent: the schema URL that everything is sent with is that of the
// newest conventions, no name of ours is one of theirs, and what is used of theirs is there.
func TestConventionsAreCurrent(t *testing.T) {
	dir, version := conventions(t)
	text, err := os.ReadFile(filepath.Join(dir, "attribute_group.go"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := make(map[string]bool)
	for _, m := range regexp.MustCompile(`attribute\.Key\("([^"]+)"\)`).FindAllStringSubmatch(string(text), -1) {
		theirs[m[1]] = true
	}
	for _, name := range []string{"error.type", "exception.message", "exception.stacktrace", "process.runtime.version"} {
		if !theirs[name] {
			t.Errorf("%s has no %s", version, name)
		}
	}
	files, _ := filepath.Glob("*.go")
	ours := make(map[string]bool)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`otel/semconv/(v[0-9.]+)"`).FindAllStringSubmatch(string(source), -1) {
			if m[1] != version {
				t.Errorf("%s uses the conventions %s; %s is the newest", f, m[1], version)
			}
		}
		for _, m := range regexp.MustCompile(`"(taskvisor\.[a-z_.]+)"`).FindAllStringSubmatch(string(source), -1) {
			ours[m[1]] = true
		}
	}
	if len(ours) < 60 || len(theirs) < 500 {
		t.Fatalf("%d names of ours, %d of theirs", len(ours), len(theirs))
	}
	// Lower case, words joined by underscores within a part, parts by dots; nothing of
	// the conventions begins like ours.
	form := regexp.MustCompile(`^taskvisor(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+$`)
	for name := range ours {
		if !form.MatchString(name) || theirs[name] {
			t.Errorf("%s is no good name", name)
		}
	}
	for name := range theirs {
		if strings.HasPrefix(name, "taskvisor") {
			t.Errorf("the conventions have %s", name)
		}
	}
}
