package promsub_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNoOpenTelemetry keeps the promise that metrics do not cost an importer the
// tracing stack: exemplars come from a plain function; nor an engine of leases.
func TestNoOpenTelemetry(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := false
	for pkg := range strings.Lines(string(out)) {
		if strings.Contains(pkg, "opentelemetry") || strings.Contains(pkg, "/subscribers/otel") {
			t.Errorf("depends on %s", pkg)
		}
		if strings.Contains(pkg, "/taskvisor-go/lease/") {
			t.Errorf("depends on a store of leases: %s", pkg)
		}
		found = found || strings.HasPrefix(pkg, "github.com/prometheus/client_golang/prometheus")
	}
	if !found {
		t.Errorf("this is no list of dependencies:\n%s", out)
	}
}
