package catalog_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const repository = "../../.."

// promsub writes the list of what it really exports; a test of its own holds
// that list against a scrape.
func TestMetricsAreWhatPromsubExports(t *testing.T) {
	text, err := os.ReadFile(repository + "/subscribers/prom/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	var got []string
	for _, m := range catalog.Metrics() {
		labels := []string{"supervisor"}
		for _, l := range m.Labels {
			labels = append(labels, l.Name)
		}
		got = append(got, m.Name+" "+string(m.Type)+" "+strings.Join(labels, ","))
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("promsub exports %q, the table does not have it", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("the table has %q, promsub does not export it", line)
		}
	}
}

// The values of labels are the labels of the core's enums.
func TestLabelValuesAreTheCores(t *testing.T) {
	known := map[string][]string{
		"outcome": append(labels[taskvisor.ResultKind](t), labels[taskvisor.OutcomeKind](t)...),
		"state":   labels[taskvisor.State](t),
		"cause":   append(labels[taskvisor.Reason](t), labels[taskvisor.BackoffSource](t)...),
		"policy":  labels[taskvisor.Admission](t),
		"result":  labels[taskvisor.Verdict](t),
		"reason":  labels[taskvisor.Reason](t),
	}
	for _, m := range catalog.Metrics() {
		for _, l := range m.Labels {
			for _, v := range l.Values {
				if !slices.Contains(known[l.Name], v) {
					t.Errorf("%s{%s=%q}: the core has no such word (%v)", m.Name, l.Name, v, known[l.Name])
				}
			}
		}
	}
}

// enum is an enum of the core.
type enum interface {
	~uint8
	String() string
}

// labels returns the labels of all values of an enum.
func labels[E enum](t *testing.T) []string {
	t.Helper()
	var all []string
	for i := range 64 {
		if s := E(i).String(); s != "" && !strings.HasPrefix(s, "unknown_") {
			all = append(all, s)
		}
	}
	if len(all) < 2 {
		t.Fatalf("%T has the labels %v", E(0), all)
	}
	return all
}
