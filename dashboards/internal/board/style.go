package board

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Colors mean the same on every panel: green is well, blue is idle by design,
// yellow and orange need no one tonight, red does, purple is on its way out.
const (
	green  = "green"
	blue   = "blue"
	gray   = "#8e8e8e"
	yellow = "yellow"
	orange = "orange"
	red    = "red"
	dark   = "dark-red"
	purple = "purple"
)

// state is one value of a label with its color.
type state struct{ label, color string }

var (
	taskStates = []state{
		{"running", green}, {"waiting", blue}, {"paused", yellow}, {"pending", gray},
		{"stopping", purple}, {"backoff", orange}, {"abandoned", red},
	}
	supervisorStates = []state{{"running", green}, {"draining", purple}, {"stopped", red}}
	leaseStates      = []state{{"standby", gray}, {"owner", green}}
	slotStates       = []state{{"admitting", gray}, {"running", green}, {"terminating", purple}, {"abandoned", red}}
	outcomes         = []state{
		{"success", green}, {"failure", orange}, {"timeout", yellow},
		{"panic", red}, {"fatal", dark}, {"canceled", gray},
	}
	taskOutcomes = []state{
		{"completed", green}, {"canceled", gray}, {"failed", orange}, {"fatal", dark}, {"abandoned", red},
	}
	verdicts = []state{{"started", green}, {"queued", blue}, {"joined", purple}, {"rejected", orange}}
	causes   = []state{{"success", green}, {"failure", orange}, {"requested", yellow}, {"triggered", purple}}
	stops    = []state{{"removed", orange}, {"replaced", purple}, {"shutdown", red}}
	policies = []state{
		{"queue", blue}, {"replace", purple}, {"coalesce", green}, {"join", yellow}, {"drop_if_running", gray},
	}
	reasons = []state{
		{"queue_full", red}, {"already_exists", orange}, {"slot_busy", blue}, {"superseded", purple},
		{"removed", yellow}, {"shutting_down", gray}, {"too_many_tasks", dark},
	}
)

// colored gives each series that is named after a state that state's color.
func colored(p *dashboard.Panel, states []state) {
	for _, s := range states {
		override(p, "byName", s.label, property("color", dashboard.FieldColor{
			Mode: dashboard.FieldColorModeIdFixed, FixedColor: cog.ToPtr(s.color),
		}))
	}
}

// mapped shows the numbers that code makes as the names of states.
func mapped(states []state) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, s := range states {
		options[strconv.Itoa(i+1)] = dashboard.ValueMappingResult{
			Text: cog.ToPtr(s.label), Color: cog.ToPtr(s.color), Index: cog.ToPtr(int32(i)),
		}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// step is a color and the value from which it holds.
type step struct {
	from  float64
	color string
}

// thresholds begin with the color below the first step.
func thresholds(base string, steps ...step) *dashboard.ThresholdsConfig {
	all := []dashboard.Threshold{{Color: base}}
	for _, s := range steps {
		all = append(all, dashboard.Threshold{Color: s.color, Value: cog.ToPtr(s.from)})
	}
	return &dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute, Steps: all}
}

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// override changes how the fields that the matcher selects are shown.
func override(p *dashboard.Panel, matcher, options string, properties ...dashboard.DynamicConfigValue) {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, dashboard.DashboardFieldConfigSourceOverrides{
		Matcher: dashboard.MatcherConfig{Id: matcher, Options: options}, Properties: properties,
	})
}
