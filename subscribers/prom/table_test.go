package promsub_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
)

// TestMetricsAreThoseOfTheTable gathers what a real supervisor with every feature in use
// shows, through a pedantic registry, which checks every metric against the descriptors,
// and compares names, types, labels and values with the rows.
func TestMetricsAreThoseOfTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, shutdown := story(t)
		byName := make(map[string]*dto.MetricFamily)
		for _, before := range []func(){func() {}, shutdown} {
			before()
			gathered, err := r.reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range gathered {
				byName[f.GetName()] = f
			}
		}
		for _, f := range promsub.Families() {
			g := byName[f.Name]
			if g == nil {
				t.Errorf("%s is not exported", f.Name)
				continue
			}
			delete(byName, f.Name)
			if kind := strings.ToLower(g.GetType().String()); kind != f.Type || g.GetHelp() != f.Help {
				t.Errorf("%s is a %s with the help %q, the table says %+v", f.Name, kind, g.GetHelp(), f)
			}
			for _, m := range g.Metric {
				checkLabels(t, f, m)
			}
		}
		for name := range byName {
			t.Errorf("%s is not in the table", name)
		}
		if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
	})
}

func checkLabels(t *testing.T, f promsub.Family, m *dto.Metric) {
	t.Helper()
	values := map[string][]string{"supervisor": nil}
	for _, l := range f.Labels {
		values[l.Name] = l.Values
	}
	for _, l := range m.Label {
		known, ok := values[l.GetName()]
		if !ok || known != nil && !slices.Contains(known, l.GetValue()) {
			t.Errorf("%s{%s=%q}: the table has no such label or value", f.Name, l.GetName(), l.GetValue())
		}
		delete(values, l.GetName())
	}
	if len(values) > 0 {
		t.Errorf("%s: %v lacks the labels %v", f.Name, m.Label, values)
	}
}

func TestTableIsComplete(t *testing.T) {
	names, instruments := make(map[string]bool), make(map[string]bool)
	groups := []string{"supervisor", "task", "gate", "admission", "lease", "subscriber"}
	for _, f := range promsub.Families() {
		if f.Name == "" || f.Help == "" || f.Question == "" || f.Instrument == "taskvisor." || f.Unit == "" || !slices.Contains(groups, f.Group) {
			t.Errorf("a row is incomplete: %+v", f)
		}
		if names[f.Name] || instruments[f.Instrument] {
			t.Errorf("%s or %s is there twice", f.Name, f.Instrument)
		}
		names[f.Name], instruments[f.Instrument] = true, true
		if strings.HasSuffix(f.Name, "_total") != (f.Type == "counter") {
			t.Errorf("%s: counters, and only they, end in _total", f.Name)
		}
		if received := received(f); received != f.Name {
			t.Errorf("%s: by OTLP, %s arrives as %s", f.Name, f.Instrument, received)
		}
	}
	for name := range names {
		if names[name+"_total"] {
			t.Errorf("%s and %[1]s_total are one family in OpenMetrics", name)
		}
	}
	rows := promsub.Families()
	rows[0].Name = "changed"
	if promsub.Families()[0].Name == "changed" {
		t.Error("a caller can change the table")
	}
}

// received is the name that Prometheus gives an instrument that comes by OTLP: dots
// become underscores, the unit is appended, and _total to counters.
func received(f promsub.Family) string {
	name := strings.ReplaceAll(f.Instrument, ".", "_")
	if f.Unit == "s" {
		name += "_seconds"
	}
	if f.Type == "counter" {
		name += "_total"
	}
	return name
}

// rows are the lines of the package comment.
func rows() string {
	var b strings.Builder
	group := ""
	for _, f := range promsub.Families() {
		if f.Group != group {
			group = f.Group
			title := map[string]string{"supervisor": "The supervisor", "task": "Each task", "gate": "Gates, the concurrency limit max_concurrent and the restart_budget among them", "admission": "Admission", "lease": "Leases, with WithLeases", "subscriber": "The subscribers, and this one"}[group]
			fmt.Fprintf(&b, "//\n// %s:\n//\n", title)
		}
		var labels []string
		for _, l := range f.Labels {
			labels = append(labels, l.Name)
		}
		if labels == nil {
			labels = []string{"-"}
		}
		fmt.Fprintf(&b, "//\t%-46s %-10s %-20s %s\n", f.Name, f.Type, strings.Join(labels, ", "), f.Question)
	}
	return b.String()
}

func TestPackageCommentListsTheTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)(The labels below come on top of it\.\n)(.*?)(//\n// # Labels\n)`)
	if *update {
		text = block.ReplaceAll(text, []byte("${1}"+strings.ReplaceAll(rows(), "$", "$$")+"${3}"))
		if err := os.WriteFile("doc.go", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if m := block.FindSubmatch(text); m == nil || string(m[2]) != rows() {
		t.Error("doc.go does not list the table; go test -run PackageComment -update writes it anew")
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "doc.go", text, parser.ParseComments); err != nil {
		t.Error(err)
	}
	for _, f := range promsub.Families() {
		for _, l := range f.Labels {
			for _, v := range l.Values {
				if l.Name != "kind" && !regexp.MustCompile(`\b`+v+`\b`).Match(text) {
					t.Errorf("doc.go does not mention %s=%q", l.Name, v)
				}
			}
		}
	}
}
