package slogsub_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNeedsTheStandardLibraryOnly: the root module requires nothing.
func TestNeedsTheStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if !strings.HasPrefix(dep, "github.com/taskvisor/taskvisor-go/") {
			t.Errorf("depends on %s", dep)
		}
	}
	if !strings.Contains(string(out), "github.com/taskvisor/taskvisor-go/taskvisor\n") {
		t.Errorf("the list does not look like one: %.200s", out)
	}
}
