package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/docs"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

const module = "../.."

func generated(t *testing.T) []byte {
	t.Helper()
	all, err := rules.Load(filepath.Join(module, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := docs.Page(all)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestCommittedPageIsTheGenerated(t *testing.T) {
	committed, err := os.ReadFile(filepath.Join(module, "..", "docs", "observability.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, generated(t)) {
		t.Error("docs/observability.md is not what the generator makes: run go run ./cmd/generate in dashboards")
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	links := regexp.MustCompile(`\]\((\.\./[^)]+)\)`).FindAllSubmatch(generated(t), -1)
	if len(links) < 15 {
		t.Errorf("%d links, want those to the boards, the rules and ten runbooks", len(links))
	}
	for _, l := range links {
		if _, err := os.Stat(filepath.Join(module, "..", "docs", string(l[1]))); err != nil {
			t.Error(err)
		}
	}
}

func TestPageNeedsAMeaningForEachAlert(t *testing.T) {
	if _, err := docs.Page([]rules.Rule{{Alert: "TaskvisorUnheardOf"}}); err == nil {
		t.Error("an alert without a meaning went through")
	}
}
