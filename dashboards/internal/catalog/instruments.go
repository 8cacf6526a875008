package catalog

import promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"

// Instrument is an OpenTelemetry metric that otelsub makes if it is given a
// meter provider.
type Instrument struct {
	Name       string
	Unit       string
	Attributes []string // beside taskvisor.supervisor.name, which all have
	Metric     string   // what Prometheus calls it
}

// attributes are what otelsub calls the labels of promsub. Those called state, result and
// cause are not the same everywhere: see attributeOf.
var attributes = map[string]string{
	"version":    "taskvisor.version",
	"go_version": "process.runtime.version",
	"task":       "taskvisor.task.name",
	"state":      "taskvisor.task.state",
	"result":     "taskvisor.attempt.result",
	"outcome":    "taskvisor.task.outcome",
	"restart":    "taskvisor.restart.policy",
	"cause":      "taskvisor.restart.cause",
	"gate":       "taskvisor.gate.name",
	"policy":     "taskvisor.admission.policy",
	"reason":     "taskvisor.admission.reason",
	"subscriber": "taskvisor.subscriber.name",
	"kind":       "taskvisor.event.kind",
	"mode":       "taskvisor.lease.mode",
}

func attributeOf(f promsub.Family, label string) string {
	switch f.Instrument + " " + label {
	case "taskvisor.supervisor.state state":
		return "taskvisor.supervisor.state"
	case "taskvisor.slots state":
		return "taskvisor.slot.state"
	case "taskvisor.admission.requests result":
		return "taskvisor.admission.result"
	case "taskvisor.lease.lost reason":
		return "taskvisor.lease.reason"
	case "taskvisor.attempts.abandoned cause":
		return "taskvisor.cancel.cause"
	default:
		return attributes[label]
	}
}

// notOtel is what otelsub does not have: an SDK has a limit of its own.
const notOtel = "taskvisor.metrics.overflow_tasks"

// Instruments returns the OpenTelemetry metrics in the order of the docs.
func Instruments() (all []Instrument) {
	for _, f := range promsub.Families() {
		if f.Instrument == notOtel {
			continue
		}
		i := Instrument{Name: f.Instrument, Unit: f.Unit, Metric: f.Name}
		for _, l := range f.Labels {
			i.Attributes = append(i.Attributes, attributeOf(f, l.Name))
		}
		all = append(all, i)
	}
	return all
}
