package catalog_test

import (
	"os"
	"path/filepath"
	"regexp"
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

// A scrape in promsub's tests has every value that a label can take, because
// series begin at zero.
func TestLabelValuesAreWhatPromsubExports(t *testing.T) {
	text, err := os.ReadFile(repository + "/subscribers/prom/testdata/scrape.golden")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{} // metric, label and value
	for _, m := range regexp.MustCompile(`(?m)^(\w+)\{(.*)\}`).FindAllSubmatch(text, -1) {
		for _, l := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllSubmatch(m[2], -1) {
			seen[string(m[1])+" "+string(l[1])+" "+string(l[2])] = true
		}
	}
	for _, m := range catalog.Metrics() {
		if m.Type == catalog.Histogram {
			continue // a histogram begins with its first observation
		}
		for _, l := range m.Labels {
			for _, v := range l.Values {
				if !seen[m.Name+" "+l.Name+" "+v] {
					t.Errorf("promsub exports no %s{%s=%q}", m.Name, l.Name, v)
				}
				delete(seen, m.Name+" "+l.Name+" "+v)
			}
		}
	}
	for _, m := range catalog.Metrics() {
		for _, l := range m.Labels {
			for s := range seen {
				if len(l.Values) > 0 && m.Type != catalog.Histogram && strings.HasPrefix(s, m.Name+" "+l.Name+" ") {
					t.Errorf("the table does not have %s", s)
				}
			}
		}
	}
}

// otelsub's names are constants in its source.
func TestAttributesAreOtelsubs(t *testing.T) {
	got := map[string]bool{"taskvisor.link.type": true}
	for _, a := range catalog.Attributes() {
		got[a.Name] = true
	}
	for _, i := range catalog.Instruments() {
		got[i.Name] = true
		for _, a := range i.Attributes {
			got[a] = true
		}
	}
	delete(got, "error.type") // from the semantic conventions
	compare(t, "otelsub", got, literals(t, "otel", `"(taskvisor\.[a-z_.]+)"`))

	links := map[string]bool{}
	for _, l := range catalog.LinkTypes() {
		links[l[0]] = true
	}
	compare(t, "a link of otelsub", links, literals(t, "otel", `linkType\("(\w+)"\)`))
}

// slogsub's keys are literals in its source.
func TestLogKeysAreSlogsubs(t *testing.T) {
	got := map[string]bool{}
	for _, k := range catalog.LogKeys() {
		got[k.Name] = true
	}
	compare(t, "slogsub", got, literals(t, "slog", `(?:slog\.(?:String|Int|Uint64|Duration|Any)|addError)\((?:r, )?"(\w+)"`))
}

func compare(t *testing.T, who string, table, source map[string]bool) {
	t.Helper()
	for name := range source {
		if !table[name] {
			t.Errorf("%s has %q, the table does not", who, name)
		}
	}
	for name := range table {
		if !source[name] {
			t.Errorf("the table has %q, %s does not", name, who)
		}
	}
}

// literals returns what the pattern's group matches in a subscriber's source.
func literals(t *testing.T, subscriber, pattern string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "subscribers", subscriber, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
	}
	return found
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
