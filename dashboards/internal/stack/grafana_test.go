package stack_test

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/board"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/promql"
)

type datasource struct {
	UID       string `yaml:"uid"`
	Type      string `yaml:"type"`
	IsDefault bool   `yaml:"isDefault"`
	Editable  bool   `yaml:"editable"`
	JSONData  struct {
		ExemplarTraceIDDestinations []struct {
			Name          string `yaml:"name"`
			DatasourceUID string `yaml:"datasourceUid"`
		} `yaml:"exemplarTraceIdDestinations"`
		TracesToMetrics struct {
			DatasourceUID string `yaml:"datasourceUid"`
			Tags          []struct{ Key, Value string }
			Queries       []struct{ Name, Query string }
		} `yaml:"tracesToMetrics"`
	} `yaml:"jsonData"`
}

func datasources(t *testing.T) map[string]datasource {
	t.Helper()
	var file struct {
		Datasources []datasource `yaml:"datasources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "dashboards/grafana/provisioning/datasources/taskvisor.yml")), &file); err != nil {
		t.Fatal(err)
	}
	byUID := map[string]datasource{}
	for _, d := range file.Datasources {
		byUID[d.UID] = d
	}
	return byUID
}

func TestDatasources(t *testing.T) {
	all := datasources(t)
	for _, uid := range []string{"prometheus", "jaeger"} {
		if d := all[uid]; d.Type != uid || d.Editable {
			t.Errorf("data source %q: %+v", uid, d)
		}
	}
	if !all["prometheus"].IsDefault {
		t.Error("prometheus is not the default")
	}
	// otelsub.TraceLabels names the label trace_id.
	to := all["prometheus"].JSONData.ExemplarTraceIDDestinations
	if len(to) != 1 || to[0].Name != "trace_id" || to[0].DatasourceUID != "jaeger" {
		t.Errorf("exemplars lead to %+v, want trace_id to jaeger", to)
	}
}

// Grafana expands $NAME in provisioning files, so each dollar sign that is
// meant has to be doubled.
func TestDollarSignsAreDoubled(t *testing.T) {
	for _, file := range []string{"datasources", "dashboards"} {
		text := read(t, "dashboards/grafana/provisioning/"+file+"/taskvisor.yml")
		for i, line := range strings.Split(text, "\n") {
			value, _, _ := strings.Cut(line, "#")
			if strings.Contains(strings.ReplaceAll(value, "$$", ""), "$") {
				t.Errorf("%s, line %d: a single dollar sign: %s", file, i+1, line)
			}
		}
	}
}

// From a span one gets to the metrics of its task.
func TestTracesToMetrics(t *testing.T) {
	to := datasources(t)["jaeger"].JSONData.TracesToMetrics
	if to.DatasourceUID != "prometheus" || len(to.Queries) == 0 || len(to.Tags) == 0 {
		t.Fatalf("traces lead to %+v", to)
	}
	var filters []string
	for _, tag := range to.Tags {
		if !slices.ContainsFunc(catalog.Attributes(), func(a catalog.Attribute) bool { return a.Name == tag.Key }) {
			t.Errorf("no span has the attribute %q", tag.Key)
		}
		filters = append(filters, tag.Value+`="x"`)
	}
	v := promql.NewVocabulary(catalog.Metrics())
	for _, q := range to.Queries {
		if !strings.Contains(q.Query, "$$__tags") {
			t.Errorf("%s is not filtered by the span's task: %s", q.Name, q.Query)
		}
		r := v.Check(strings.ReplaceAll(q.Query, "$$__tags", strings.Join(filters, ",")))
		if len(r.Problems)+len(r.Raw) > 0 {
			t.Errorf("%s: %v %v", q.Name, r.Problems, r.Raw)
		}
	}
}

// Both boards lie where the provider looks, and the home page is one of them.
func TestBoardsAreProvisioned(t *testing.T) {
	grafana := project(t).Services["grafana"]
	dir := regexp.MustCompile(`path: (\S+)`).FindStringSubmatch(read(t, "dashboards/grafana/provisioning/dashboards/taskvisor.yml"))
	if dir == nil {
		t.Fatal("no path in the provider")
	}
	var provided []string
	for _, v := range grafana.Volumes {
		if path.Dir(v.Target) == dir[1] {
			provided = append(provided, v.Target)
		}
	}
	want := []string{dir[1] + "/" + board.OverviewUID + ".json", dir[1] + "/" + board.TaskUID + ".json"}
	if !slices.Equal(provided, want) {
		t.Errorf("boards %v, want %v", provided, want)
	}
	home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if home == nil || !slices.Contains(provided, *home) {
		t.Errorf("the home page is none of %v", provided)
	}
}
