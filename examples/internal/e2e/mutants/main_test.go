package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestMutantsApply: every mutant still has its place in the source, changes it, and
// leaves Go behind. That it compiles and is noticed, scripts/mutants.sh shows.
func TestMutantsApply(t *testing.T) {
	of := map[string]int{}
	for _, m := range mutants {
		of[strings.Split(m.name, "-")[0]]++
		texts, err := m.apply("../../../..")
		if err != nil {
			t.Error(err)
		}
		for file, text := range texts {
			if _, err := parser.ParseFile(token.NewFileSet(), file, text, 0); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
		for _, e := range m.edits {
			if e.old == e.new {
				t.Errorf("%s changes nothing in %s", m.name, e.file)
			}
		}
	}
	for _, part := range []string{"core", "prom", "otel", "slog"} {
		if of[part] < 3 {
			t.Errorf("%d mutants of %s, want 3", of[part], part)
		}
	}
}

func TestUnknownMutants(t *testing.T) {
	if err := run(false, "", "", "nobody", "", ""); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v", err)
	}
	m := mutant{name: "moved", edits: []edit{{"taskvisor/internal/life/machine.go", "no such text", ""}}}
	if _, err := m.apply("../../../.."); err == nil || !strings.Contains(err.Error(), "0 times") {
		t.Errorf("got %v", err)
	}
}
