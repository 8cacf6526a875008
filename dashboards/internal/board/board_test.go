package board_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/board"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/boardfile"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/promql"
)

const root = "../.." // the module's directory

// offBoards lists the exported metrics that no panel shows, and why.
var offBoards = map[string]string{
	"taskvisor_supervisor_start_timestamp_seconds": "for rules, which tell a new process from a gap",
	"taskvisor_task_added_timestamp_seconds":       "for rules, which judge what has never succeeded",
	"taskvisor_task_policy":                        "for rules, which select tasks by their policy",
	"taskvisor_task_interval_seconds":              "for rules, whose windows follow the interval",
}

func load(t *testing.T) []boardfile.Board {
	t.Helper()
	var boards []boardfile.Board
	for _, uid := range []string{board.OverviewUID, board.TaskUID} {
		b, err := boardfile.Load(filepath.Join(root, uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		boards = append(boards, b)
	}
	return boards
}

// recordedFailures are recorded for objectives, of all instances together.
const recordedFailures = "job_supervisor_task:taskvisor_task_attempts_failed:ratio_rate"

func vocabulary() *promql.Vocabulary {
	v := promql.NewVocabulary(catalog.Metrics())
	v.AddForeign("up")                                     // are the targets scraped at all?
	v.AddForeign("taskvisor_task_objective_ratio", "task") // of the user's own rules
	for _, window := range []string{"1h", "6h", "3d"} {
		v.AddForeign(recordedFailures+window, "supervisor", "task")
	}
	v.AddForeign("ALERTS", "alertname", "alertstate", "supervisor", "task") // which alert fired when?
	return v
}

func TestCommittedBoardsAreTheGenerated(t *testing.T) {
	files, err := board.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes: run go run ./cmd/generate in dashboards", name)
		}
	}
	if len(files) != 2 {
		t.Errorf("%d boards, want 2", len(files))
	}
}

func TestBoardsHaveIdentityAndLinks(t *testing.T) {
	for _, b := range load(t) {
		if b.ID != nil {
			t.Errorf("%s has an id, which belongs to one installation", b.UID)
		}
		if b.Editable {
			t.Errorf("%s is editable, but its source is Go", b.UID)
		}
		other := map[string]string{board.OverviewUID: board.TaskUID, board.TaskUID: board.OverviewUID}[b.UID]
		if other == "" {
			t.Errorf("unknown uid %q", b.UID)
		}
		if len(b.Links) != 1 || b.Links[0].URL != "/d/"+other || !b.Links[0].KeepTime || !b.Links[0].IncludeVars {
			t.Errorf("%s: links %+v, want one to %s that keeps time and variables", b.UID, b.Links, other)
		}
		names := []string{}
		for _, a := range b.Annotations.List {
			names = append(names, a.Name)
		}
		for _, want := range []string{"Deploys", "Shutdowns", "Alerts"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s has no annotation %q", b.UID, want)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	for _, b := range load(t) {
		var names []string
		for _, v := range b.Templating.List {
			names = append(names, v.Name)
			if v.Name == "datasource" {
				if v.Type != "datasource" {
					t.Errorf("%s: datasource is a %q", b.UID, v.Type)
				}
				continue
			}
			all := ".+"
			if slices.Contains([]string{"cluster", "namespace", "pod"}, v.Name) {
				all = ".*" // not every Prometheus gives its targets these
			}
			if !v.Multi || !v.IncludeAll || v.AllValue != all {
				t.Errorf("%s: $%s: multi %v, all %v, allValue %q", b.UID, v.Name, v.Multi, v.IncludeAll, v.AllValue)
			}
			inner, ok := labelValues(v.Definition)
			if !ok {
				t.Errorf("%s: $%s: %q is not label_values(selector, label)", b.UID, v.Name, v.Definition)
			}
			if r := vocabulary().Check(promql.Substitute(inner)); len(r.Problems) > 0 {
				t.Errorf("%s: $%s: %v", b.UID, v.Name, r.Problems)
			}
		}
		if want := []string{"datasource", "cluster", "namespace", "job", "instance", "pod", "supervisor", "task"}; !slices.Equal(names, want) {
			t.Errorf("%s: variables %v, want %v", b.UID, names, want)
		}
	}
}

func labelValues(definition string) (selector string, ok bool) {
	m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(definition)
	if m == nil {
		return "", false
	}
	return m[1], true
}

func TestPanelsExplainThemselves(t *testing.T) {
	for _, b := range load(t) {
		seen := map[string]bool{}
		for _, p := range b.Panels {
			if p.ID == 0 {
				t.Errorf("%s / %s has no id, so it cannot be linked", b.UID, p.Title)
			}
			if p.Type == "row" {
				if !strings.HasSuffix(p.Title, "?") {
					t.Errorf("%s: row %q is no question", b.UID, p.Title)
				}
				continue
			}
			if p.Title == "" || seen[p.Title] {
				t.Errorf("%s: title %q is empty or used twice", b.UID, p.Title)
			}
			seen[p.Title] = true
			if len(p.Description) < 40 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s / %s: description %q", b.UID, p.Title, p.Description)
			}
			if p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s / %s has no unit", b.UID, p.Title)
			}
			if p.Datasource == nil || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s / %s: data source %+v", b.UID, p.Title, p.Datasource)
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s / %s asks nothing", b.UID, p.Title)
			}
			for _, target := range p.Targets {
				if target.Datasource == nil || target.Datasource.UID != "${datasource}" {
					t.Errorf("%s / %s / %s: data source %+v", b.UID, p.Title, target.RefID, target.Datasource)
				}
			}
		}
	}
}

func TestPanelsFillTheGrid(t *testing.T) {
	for _, b := range load(t) {
		taken := map[[2]int]string{}
		width := map[int]int{} // of each line of the grid
		for _, p := range b.Panels {
			for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
				for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %q and %q overlap", b.UID, other, p.Title)
					}
					taken[[2]int{x, y}] = p.Title
					width[y]++
				}
			}
		}
		for y, w := range width {
			if w != 24 {
				t.Errorf("%s: line %d is %d wide, want 24", b.UID, y, w)
			}
		}
	}
}

func TestExpressions(t *testing.T) {
	v := vocabulary()
	shown := map[string]bool{}
	for _, b := range load(t) {
		for _, q := range b.Queries() {
			r := v.Check(promql.Substitute(q.Expr))
			for _, problem := range r.Problems {
				t.Errorf("%s: %s", q.Where, problem)
			}
			for _, metric := range r.Raw {
				t.Errorf("%s: %s is not inside rate or increase", q.Where, metric)
			}
			for _, s := range r.Selectors {
				shown[s.Family] = true
				filtered := []string{"cluster", "namespace", "job", "instance", "pod"}
				switch {
				case strings.HasPrefix(s.Metric, recordedFailures):
					filtered = []string{"cluster", "namespace", "job", "task"}
				case s.Metric == "taskvisor_task_objective_ratio":
					filtered = nil // it is matched with the former
				}
				for _, label := range filtered {
					if !slices.Contains(s.Matchers, label) {
						t.Errorf("%s: %s is not filtered by %s", q.Where, s.Metric, label)
					}
				}
			}
			for _, window := range regexp.MustCompile(`(\w+)\([^()]*\[([^]]+)\]`).FindAllStringSubmatch(q.Expr, -1) {
				want := "$__range"
				if window[1] == "rate" {
					want = "$__rate_interval"
				}
				if window[2] != want {
					t.Errorf("%s: %s over [%s], want [%s]", q.Where, window[1], window[2], want)
				}
			}
		}
	}
	for _, m := range catalog.Metrics() {
		if reason, excused := offBoards[m.Name]; shown[m.Name] == excused {
			t.Errorf("%s: on a board %v, excused %v (%s)", m.Name, shown[m.Name], excused, reason)
		}
	}
}

// Lines that were chosen anew at each point would be more than ten.
func TestGraphsChooseTheirLinesOnce(t *testing.T) {
	for _, b := range load(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				if i := strings.Index(target.Expr, "topk("); i >= 0 && !target.Instant && !strings.Contains(target.Expr[i:], "@ end()") {
					t.Errorf("%s / %s / %s: topk at each point", b.UID, p.Title, target.RefID)
				}
			}
		}
	}
}

// What several tasks, supervisors or jobs have in common in name is not added up.
func TestNamesAreNotMistakenForTasks(t *testing.T) {
	for _, b := range load(t) {
		for _, q := range b.Queries() {
			for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(q.Expr, -1) {
				labels := strings.Split(by[1], ", ")
				if slices.Contains(labels, "task") && !(slices.Contains(labels, "supervisor") && slices.Contains(labels, "job") && slices.Contains(labels, "namespace")) {
					t.Errorf("%s adds up tasks of one name: by (%s)", q.Where, by[1])
				}
			}
		}
	}
}

// Totals over the time shown are asked for once, at its end: asked for each
// point of a graph they would count the same failure many times.
func TestTotalsAreInstant(t *testing.T) {
	for _, b := range load(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				if strings.Contains(strings.ReplaceAll(target.Expr, "[$__range] @ end()", ""), "$__range") && !target.Instant {
					t.Errorf("%s / %s / %s: a total over time", b.UID, p.Title, target.RefID)
				}
			}
		}
	}
}

// From everything on the overview that can turn red, one click leads to the
// task board; latencies carry exemplars, which lead to traces.
func TestOneClickToTheTask(t *testing.T) {
	overview := load(t)[0]
	exemplars := 0
	for _, p := range overview.Panels {
		for _, target := range p.Targets {
			if target.Exemplar {
				exemplars++
			}
		}
		aboutTasks := len(p.Targets) > 0 && strings.Contains(p.Targets[0].Expr, `task=~"$task"`)
		byTask := p.Type == "table" || p.Type == "timeseries" && strings.Contains(p.Targets[0].Expr, "topk(")
		vital := p.Type == "stat" && p.Grid.Y == 0
		if aboutTasks && (vital || byTask) && !linksTo(p, "/d/"+board.TaskUID+"?") {
			t.Errorf("%q does not lead to the task board", p.Title)
		}
	}
	if exemplars == 0 {
		t.Error("no panel of the overview shows exemplars")
	}
}

func linksTo(p boardfile.Panel, prefix string) bool {
	for _, l := range p.FieldConfig.Defaults.Links {
		if strings.HasPrefix(l.URL, prefix) && strings.Contains(l.URL, "${__url_time_range}") {
			return true
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			links, _ := property.Value.([]any)
			for _, l := range links {
				if m, ok := l.(map[string]any); ok && property.ID == "links" && strings.HasPrefix(m["url"].(string), prefix) {
					return true
				}
			}
		}
	}
	return false
}
