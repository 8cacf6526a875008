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
	want := []string{"github.com/taskvisor/taskvisor-go/taskvisor", "github.com/taskvisor/taskvisor-go/subscribers/slog"}
	if got := strings.Fields(string(out)); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("depends on %q, want %q", got, want)
	}
}
