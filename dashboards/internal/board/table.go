package board

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
)

// column is a query of a table whose value becomes a column. The rows are the
// sets of labels that the queries share.
type column struct {
	title, expr string
	unit        string
	levels      *dashboard.ThresholdsConfig // colors the cell; nil for none
	states      []state                     // the value is a code; nil if it is not
}

// labelColumns come first in every table, in this order, if the queries keep
// them.
var labelColumns = []string{"task", "cluster", "namespace", "instance", "supervisor", "job", "version", "go_version", "subscriber", "kind"}

// table shows one row for each set of labels, sorted by the column sortBy,
// largest first. The cell of the task leads to its board.
func (p panel) table(sortBy string, columns ...column) ready {
	for _, c := range columns {
		p.targets = append(p.targets, target{expr: c.expr})
	}
	b := table.NewPanelBuilder().
		ShowHeader(true).CellHeight(common.TableCellHeightSm).MinWidth(90).
		SortBy([]cog.Builder[common.TableSortByFieldState]{
			common.NewTableSortByFieldStateBuilder().DisplayName(sortBy).Desc(true),
		})
	return p.finish(b, true, func(built *dashboard.Panel) { arrange(built, columns) })
}

// arrange merges the answers into one table, orders and names its columns.
func arrange(p *dashboard.Panel, columns []column) {
	order, names := map[string]int{}, map[string]string{}
	for i, l := range labelColumns {
		order[l] = i
	}
	for i, c := range columns {
		value := fmt.Sprintf("Value #%c", 'A'+i)
		if len(columns) == 1 {
			value = "Value"
		}
		order[value], names[value] = len(labelColumns)+i, c.title
		override(p, "byName", c.title, c.properties()...)
	}
	p.Transformations = []dashboard.DataTransformerConfig{
		{Id: "merge", Options: map[string]any{}},
		{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{"Time": true}, "indexByName": order, "renameByName": names,
		}},
	}
	for _, narrow := range []struct {
		label string
		width int
	}{{"instance", 150}, {"supervisor", 110}, {"job", 100}} {
		override(p, "byName", narrow.label, property("custom.width", narrow.width))
	}
	override(p, "byName", "task", property("links", []dashboard.DashboardLink{rowLink()}))
}

func (c column) properties() []dashboard.DynamicConfigValue {
	all := []dashboard.DynamicConfigValue{property("unit", c.unit), property("noValue", "–")} // in cells without a value
	if c.levels != nil {
		all = append(all,
			property("thresholds", c.levels),
			property("color", dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}),
			property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}))
	}
	if c.states != nil {
		all = append(all,
			property("mappings", mapped(c.states)),
			property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}))
	}
	return all
}
