// Package board builds the Grafana boards. Each is designed for a question: the
// overview for "is anything wrong, and where", the task board for "what about
// this one". cmd/generate writes them as JSON.
package board

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The fixed uids, by which the boards link to each other.
const (
	OverviewUID = "taskvisor-overview"
	TaskUID     = "taskvisor-task"
)

const allTasks = "$__all"

// readable undoes the escapes that encoding/json makes for HTML, so that the
// expressions can be read in the committed files.
var readable = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// Files returns the boards as they are committed: file name to JSON.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, build := range []func() (dashboard.Dashboard, error){overview, task} {
		d, err := build()
		if err != nil {
			return nil, err
		}
		number(&d)
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("board %q: %w", *d.Title, err)
		}
		files[*d.Uid+".json"] = append([]byte(readable.Replace(string(text))), '\n')
	}
	return files, nil
}

// number gives panels and rows their ids, in order.
func number(d *dashboard.Dashboard) {
	for i := range d.Panels {
		id := uint32(i + 1)
		if p := d.Panels[i].Panel; p != nil {
			p.Id = &id
		} else {
			d.Panels[i].RowPanel.Id = id
		}
	}
}

// frame is a board without panels: variables, annotations and links.
func frame(uid, title, desc string) *dashboard.DashboardBuilder {
	b := dashboard.NewDashboardBuilder(title).
		Uid(uid).Description(desc).Tags([]string{"taskvisor"}).Readonly().
		Time("now-1h", "now").Refresh("30s").Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"))
	const (
		ofCluster = `cluster=~"$cluster"`
		ofSpace   = ofCluster + `, namespace=~"$namespace"`
		ofJob     = ofSpace + `, job=~"$job"`
	)
	for _, v := range []struct{ name, query, all string }{
		{"cluster", `label_values(taskvisor_supervisor_state, cluster)`, anyOrNone},
		{"namespace", `label_values(taskvisor_supervisor_state{` + ofCluster + `}, namespace)`, anyOrNone},
		{"job", `label_values(taskvisor_supervisor_state{` + ofSpace + `}, job)`, ".+"},
		{"instance", `label_values(taskvisor_supervisor_state{` + ofJob + `}, instance)`, ".+"},
		{"pod", `label_values(taskvisor_supervisor_state{` + ofJob + `, instance=~"$instance"}, pod)`, anyOrNone},
		{"supervisor", `label_values(taskvisor_supervisor_state{` + targets + `}, supervisor)`, ".+"},
		{"task", `label_values(taskvisor_task_attempts_total{` + filters + `}, task)`, ".+"},
	} {
		b.WithVariable(variable(v.name, v.query, v.all))
	}
	for _, a := range annotations() {
		b.Annotation(a)
	}
	return b
}

// anyOrNone matches targets without the label too: not every Prometheus gives it.
const anyOrNone = ".*"

// variable filters by a label; "All" matches what allValue does.
func variable(name, query, allValue string) *dashboard.QueryVariableBuilder {
	all := dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}}
	return dashboard.NewQueryVariableBuilder(name).Label(name).Datasource(*source()).
		Query(dashboard.StringOrMap{Map: map[string]any{"query": query, "refId": "variable-" + name, "qryType": 5}}).
		Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(allValue).
		Current(dashboard.VariableOption{Selected: cog.ToPtr(true), Text: all,
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{allTasks}}})
}

// annotations mark what explains a change: a new version, a shutdown, an alert.
func annotations() []*dashboard.AnnotationQueryBuilder {
	versions := sum(of("build_info"), "version")
	return []*dashboard.AnnotationQueryBuilder{
		annotation("Deploys", blue, "{{version}} appears", versions+" unless "+
			sum(of("build_info")+" offset 5m", "version")),
		annotation("Shutdowns", purple, "{{instance}} {{supervisor}} shuts down",
			of("shutdown_start_timestamp_seconds")+" * 1000").UseValueForTime(true),
		annotation("Alerts", red, "{{alertname}} {{task}}",
			`ALERTS{`+filters+`, alertname=~"Taskvisor.+", alertstate="firing"}`),
	}
}

func annotation(name, color, title, expr string) *dashboard.AnnotationQueryBuilder {
	return dashboard.NewAnnotationQueryBuilder().Name(name).Datasource(*source()).Enable(true).
		IconColor(color).Expr(expr).TitleFormat(title).Step("30s")
}

const keepFilters = "${datasource:queryparam}&${cluster:queryparam}&${namespace:queryparam}&${pod:queryparam}&${job:queryparam}&${instance:queryparam}&${supervisor:queryparam}&${__url_time_range}"

// rowLink leads from a row of a table to the board of its task.
func rowLink() dashboard.DashboardLink {
	return dataLink("Open the task", "/d/"+TaskUID+"?${datasource:queryparam}&${cluster:queryparam}&${namespace:queryparam}&${__url_time_range}"+
		"&var-job=${__data.fields.job:percentencode}&var-instance=${__data.fields.instance:percentencode}"+
		"&var-supervisor=${__data.fields.supervisor:percentencode}&var-task=${__data.fields.task:percentencode}")
}

// seriesLink leads from a series with a task label to the board of its task.
func seriesLink() []dashboard.DashboardLink {
	return []dashboard.DashboardLink{dataLink("Open the task",
		"/d/"+TaskUID+"?"+keepFilters+"&var-task=${__field.labels.task:percentencode}")}
}

// totalLink leads from a number over all tasks to the task board of all of
// them.
func totalLink() []dashboard.DashboardLink {
	return []dashboard.DashboardLink{dataLink("Open the task board", "/d/"+TaskUID+"?"+keepFilters+"&${task:queryparam}")}
}

func dataLink(title, url string) dashboard.DashboardLink {
	return dashboard.DashboardLink{Title: title, Url: &url, Type: dashboard.DashboardLinkTypeLink, Tags: []string{}}
}

// boardLink is a button at the top of a board that leads to the other one.
func boardLink(title, uid string) *dashboard.DashboardLinkBuilder {
	return dashboard.NewDashboardLinkBuilder(title).Type(dashboard.DashboardLinkTypeLink).
		Url("/d/" + uid).Icon("dashboard").KeepTime(true).IncludeVars(true)
}
