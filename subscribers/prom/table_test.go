package promsub

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var kindNames = map[prometheus.ValueType]string{gauge: "gauge", counter: "counter", histogram: "histogram"}

// everything is a snapshot in which no gauge is absent.
func everything() taskvisor.Snapshot {
	now := time.Unix(1_700_000_000, 0)
	return taskvisor.Snapshot{
		Supervisor: "sup", State: taskvisor.StateDraining, Time: now, StopSince: now, MaxConcurrent: 3,
		Tasks: []taskvisor.TaskStatus{{
			ID: 1, Name: "a", State: taskvisor.StateRunning, LastSuccess: now, NextStart: now, AttemptStart: now,
		}},
		Slots:       []taskvisor.SlotStatus{{Key: "k", State: taskvisor.StateRunning, Queued: 1, Oldest: now}},
		Subscribers: []taskvisor.SubscriberStatus{{Name: "log", Capacity: 1024}},
	}
}

// TestMetricsAreThoseOfTheTable gathers through a pedantic registry, which
// checks every metric against the descriptors, and compares names, types and
// labels with the rows.
func TestMetricsAreThoseOfTheTable(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	sub := New(reg)
	if err := sub.Attach(everything); err != nil {
		t.Fatal(err)
	}
	gathered, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*dto.MetricFamily)
	for _, f := range gathered {
		byName[f.GetName()] = f
	}
	for _, f := range families {
		name := "taskvisor_" + f.name
		g := byName[name]
		if g == nil {
			t.Errorf("%s is not exported", name)
			continue
		}
		delete(byName, name)
		if kind := strings.ToLower(g.GetType().String()); kind != kindNames[f.kind] {
			t.Errorf("%s is a %s, the table says %s", name, kind, kindNames[f.kind])
		}
		if g.GetHelp() != f.help {
			t.Errorf("%s has the help %q", name, g.GetHelp())
		}
		want := append([]string{"supervisor"}, f.labels...)
		slices.Sort(want)
		for _, m := range g.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName())
			}
			if !slices.Equal(labels, want) {
				t.Errorf("%s has the labels %v, the table says %v", name, labels, want)
			}
		}
	}
	for name := range maps.Keys(byName) {
		t.Errorf("%s is not in the table", name)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestTableIsComplete(t *testing.T) {
	names := make(map[string]bool)
	for id, f := range families {
		if f.name == "" || f.help == "" || f.question == "" {
			t.Errorf("row %d is incomplete: %+v", id, f)
		}
		if names[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		names[f.name] = true
		if strings.HasSuffix(f.name, "_total") != (f.kind == counter) {
			t.Errorf("%s: counters, and only they, end in _total", f.name)
		}
	}
	for name := range names {
		if names[name+"_total"] {
			t.Errorf("%s and %[1]s_total are one family in OpenMetrics", name)
		}
	}
}

func TestPackageCommentListsTheTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for line := range strings.Lines(file.Doc.Text()) {
		if row, ok := strings.CutPrefix(line, "\ttaskvisor_"); ok {
			words := strings.Fields(row)
			documented[words[0]] = strings.Join(words[1:], " ")
		}
	}
	for _, f := range families {
		labels := "-"
		if f.labels != nil {
			labels = strings.Join(f.labels, ", ")
		}
		want := strings.Join([]string{kindNames[f.kind], labels, f.question}, " ")
		if documented[f.name] != want {
			t.Errorf("doc.go says of %s: %q, the table says %q", f.name, documented[f.name], want)
		}
		delete(documented, f.name)
	}
	for name := range documented {
		t.Errorf("doc.go lists %s, which is not in the table", name)
	}
}

// TestMetricsGolden keeps the list that other tools read: name, type and labels
// of each metric, one per line.
func TestMetricsGolden(t *testing.T) {
	var b strings.Builder
	for _, f := range families {
		fmt.Fprintf(&b, "taskvisor_%s %s %s\n", f.name, kindNames[f.kind], strings.Join(append([]string{"supervisor"}, f.labels...), ","))
	}
	const path = "testdata/metrics.golden"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(golden) != b.String() {
		t.Errorf("%s is not what the table says; go test -run Golden -update writes it anew", path)
	}
}
