package catalog_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const repository = "../../.."

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
	for _, e := range catalog.SpanEvents() {
		got[e[0]] = true
	}
	delete(got, "exception") // from the semantic conventions, like the next
	delete(got, "error.type")
	delete(got, "process.runtime.version")
	compare(t, "otelsub", got, literals(t, "otel", `"(taskvisor\.[a-z_.]+)"`))

	events := map[string]bool{}
	for _, e := range catalog.SpanEvents() {
		events[e[0]] = true
	}
	delete(events, "exception")
	compare(t, "an event of otelsub", events, literals(t, "otel", `AddEvent\("([^"]+)"`))

	attributes := map[string]bool{"taskvisor.link.type": true}
	for _, a := range catalog.Attributes() {
		attributes[a.Name] = true
	}
	delete(attributes, "error.type")
	compare(t, "an attribute of otelsub", attributes, literals(t, "otel", `attribute\.Key\("([^"]+)"`))

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

// The values of labels are the labels of the core's enums, and those of leases.
func TestLabelValuesAreTheCores(t *testing.T) {
	known := map[string][]string{
		"outcome": labels[taskvisor.OutcomeKind](t),
		"state":   slices.Concat(labels[taskvisor.State](t), labels[taskvisor.SlotState](t), labels[taskvisor.SupervisorState](t)),
		"kind":    labels[taskvisor.EventKind](t),
		"restart": {"never", "on_failure", "always", "scheduled"},
		"cause":   append(labels[taskvisor.Reason](t), labels[taskvisor.BackoffSource](t)...),
		"policy":  labels[taskvisor.Admission](t),
		"result":  append(labels[taskvisor.ResultKind](t), labels[taskvisor.Verdict](t)...),
		"reason":  append(labels[taskvisor.Reason](t), labels[lease.LossReason](t)...),
		"mode":    labels[lease.Mode](t),
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
