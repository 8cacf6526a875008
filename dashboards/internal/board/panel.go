package board

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// panel is what panels of every kind have. Its methods make the kinds.
type panel struct {
	title, desc   string
	unit          string
	width, height uint32 // of 24 columns; rows of 30 pixels
	decimals      *float64
	empty         string // shown when there is nothing; "" means what why says
	targets       []target
	links         []dashboard.DashboardLink // of the values, to other pages
}

// target is one query.
type target struct {
	expr, legend string
	exemplars    bool
}

// ready is a finished panel where the SDK expects a builder of one.
type ready struct {
	panel dashboard.Panel
	err   error
}

// Build implements the SDK's builder.
func (r ready) Build() (dashboard.Panel, error) { return r.panel, r.err }

// finish fills in what is the same for every kind, and applies the changes.
func (p panel) finish(b cog.Builder[dashboard.Panel], instant bool, changes ...func(*dashboard.Panel)) ready {
	built, err := b.Build()
	if err != nil {
		return ready{err: err}
	}
	built.Title, built.Description = &p.title, &p.desc
	built.Transparent, built.RepeatDirection = nil, nil
	built.Datasource = source()
	built.GridPos = &dashboard.GridPos{W: p.width, H: p.height}
	if built.FieldConfig == nil {
		built.FieldConfig = dashboard.NewFieldConfigSource()
	}
	d := &built.FieldConfig.Defaults
	d.Unit, d.Decimals, d.Links = &p.unit, p.decimals, p.links
	text := p.emptyText()
	d.NoValue = &text
	for i, t := range p.targets {
		query, err := t.query(string(rune('A'+i)), instant, built.Type == "table")
		if err != nil {
			return ready{err: err}
		}
		built.Targets = append(built.Targets, query)
	}
	for _, change := range changes {
		change(&built)
	}
	return ready{panel: built}
}

func (t target) query(id string, instant, table bool) (variants.Dataquery, error) {
	b := prometheus.NewDataqueryBuilder().RefId(id).Expr(t.expr).Datasource(*source()).
		EditorMode(prometheus.QueryEditorModeCode).Exemplar(t.exemplars)
	if t.legend != "" {
		b.LegendFormat(t.legend)
	}
	if instant {
		b.Instant()
	} else {
		b.Range()
	}
	if table {
		b.Format(prometheus.PromQueryFormatTable)
	}
	return b.Build()
}

// source is the data source that the reader chose.
func source() *common.DataSourceRef {
	return &common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// stat shows one number, its color filling the panel, so that trouble is seen
// before anything is read.
func (p panel) stat(levels *dashboard.ThresholdsConfig) ready {
	b := stat.NewPanelBuilder().
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		ColorMode(common.BigValueColorModeBackgroundSolid).
		GraphMode(common.BigValueGraphModeNone).
		TextMode(common.BigValueTextModeValue).
		JustifyMode(common.BigValueJustifyModeCenter).
		Orientation(common.VizOrientationAuto)
	return p.finish(b, true, func(built *dashboard.Panel) {
		built.FieldConfig.Defaults.Thresholds = levels
		built.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
	})
}

// lines shows values over time.
func (p panel) lines(changes ...func(*dashboard.Panel)) ready { return p.graph(false, changes) }

// stacked shows parts of a whole over time.
func (p panel) stacked(changes ...func(*dashboard.Panel)) ready { return p.graph(true, changes) }

func (p panel) graph(stacked bool, changes []func(*dashboard.Panel)) ready {
	mode, fill := common.StackingModeNone, 8.0
	if stacked {
		mode, fill = common.StackingModeNormal, 50
	}
	b := timeseries.NewPanelBuilder().
		LineWidth(1).FillOpacity(fill).ShowPoints(common.VisibilityModeAuto).
		AxisSoftMin(0).AxisSoftMax(p.quiet()).AxisWidth(p.axis()).
		Stacking(common.NewStackingConfigBuilder().Mode(mode)).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).Calcs([]string{}).
			DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	return p.finish(b, false, changes...)
}

// axis is how wide the scale is, in pixels: rates have long units, and numbers of tasks
// short ones. Left to itself it may cut off the first digit.
func (p panel) axis() float64 {
	if p.unit == units.OpsPerSecond {
		return 80
	}
	return 56
}

// quiet is where the scale ends while there is nothing but zeros, so that it
// does not go to 100.
func (p panel) quiet() float64 {
	switch p.unit {
	case units.Seconds:
		return 0.001
	case units.Number:
		return 1
	}
	return 0.1
}

// timeline shows which state held when.
func (p panel) timeline(states []state) ready {
	b := statetimeline.NewPanelBuilder().
		MergeValues(true).ShowValue(common.VisibilityModeAuto).RowHeight(0.8).FillOpacity(80).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).Calcs([]string{}).
			DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeSingle).Sort(common.SortOrderNone))
	return p.finish(b, false, func(built *dashboard.Panel) {
		built.FieldConfig.Defaults.Mappings = mapped(states)
		built.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
		built.FieldConfig.Defaults.Thresholds = thresholds(gray)
	})
}

// byState colors the series after the states that they are named for.
func byState(states []state) func(*dashboard.Panel) {
	return func(p *dashboard.Panel) { colored(p, states) }
}

// byPrefix gives the series whose names begin so a color.
func byPrefix(prefix, color string) func(*dashboard.Panel) {
	return func(p *dashboard.Panel) {
		override(p, "byRegexp", "/^"+prefix+"/", property("color", dashboard.FieldColor{
			Mode: dashboard.FieldColorModeIdFixed, FixedColor: cog.ToPtr(color),
		}))
	}
}

// percent makes the scale end at 100 %.
func percent(p *dashboard.Panel) {
	d := &p.FieldConfig.Defaults
	d.Min, d.Max = cog.ToPtr(0.0), cog.ToPtr(1.0) // both, or a line of zeros has no scale
}

// dashed draws the series with that name as a limit.
func dashed(name string) func(*dashboard.Panel) {
	return func(p *dashboard.Panel) {
		override(p, "byName", name,
			property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{8, 6}}),
			property("custom.fillOpacity", 0),
			property("color", dashboard.FieldColor{Mode: dashboard.FieldColorModeIdFixed, FixedColor: cog.ToPtr(red)}))
	}
}
