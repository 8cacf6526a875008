package otelsub_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNeedsTheAPIOnly: which SDK a program uses, and in which version, is its
// own business.
func TestNeedsTheAPIOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	seen := false
	for _, dep := range deps {
		seen = seen || dep == "go.opentelemetry.io/otel/trace"
		for _, bad := range []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters", "github.com/prometheus", "google.golang.org"} {
			if dep == bad || strings.HasPrefix(dep, bad+"/") {
				t.Errorf("depends on %s", dep)
			}
		}
	}
	if !seen {
		t.Errorf("the list of %d packages does not look like one: %.200s", len(deps), out)
	}
}
