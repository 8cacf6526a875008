package footprint

import (
	"context"
	"slices"
	"strings"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// Footprint is the memory of one task, the difference to a process without any.
type Footprint struct {
	State, Side string
	Tasks       int
	Settled     float64 // bytes per task, after garbage collections
	Fresh       float64 // before: as the process stands right after the start
	Goroutines  float64 // per task
}

// Kind is one thing to measure: Hold brings n tasks into a state and returns what
// keeps them there. The process ends with them in it.
type Kind struct {
	State, Side string
	Hold        func(n int) (any, error)
}

// slug names a kind to a child.
func (k Kind) slug() string { return strings.ReplaceAll(k.State+"/"+k.Side, " ", "_") }

// empty is what the others are compared with.
var empty = Kind{"empty", "", func(int) (any, error) { return nil, nil }}

// States of which the page tells.
const (
	Running = "running, idle"
	Backoff = "backoff"
	Waiting = "waiting for its interval"
	AtGate  = "pending, at a gate"
	InSlot  = "pending, in a slot's queue"
)

// Kinds are those of the page.
var Kinds = []Kind{
	{Running, "raw", rawRunning},
	{Running, "raw, a context each", rawRunningEach},
	{Running, "raw, with labels too", rawRunningLabelled},
	{Running, "taskvisor", running},
	{Running, "errgroup", errgroupRunning},
	{Running, "oklog", oklogRunning},
	{Running, "conc", concRunning},
	{Running, "suture", sutureRunning},
	{Backoff, "raw", rawTimers},
	{Backoff, "taskvisor", failed},
	{Backoff, "backoff", backoffV5},
	{Backoff, "failsafe", failsafeBackoff},
	{Backoff, "suture (the whole supervisor)", sutureBackoff},
	{Waiting, "taskvisor", waiting},
	{AtGate, "taskvisor", pending},
	{InSlot, "taskvisor", queued},
}

// Measure starts a child per kind and round, in turns.
func Measure(ctx context.Context, tasks, times int, kinds []Kind) ([]Footprint, error) {
	settled, fresh, goroutines := make([][]float64, len(kinds)), make([][]float64, len(kinds)), make([]float64, len(kinds))
	for range times {
		var none memory
		if err := spawn(ctx, &none, empty.slug(), 0); err != nil {
			return nil, err
		}
		for i, k := range kinds {
			var m memory
			if err := spawn(ctx, &m, k.slug(), tasks); err != nil {
				return nil, err
			}
			per := func(v int) float64 { return float64(v) / float64(tasks) }
			settled[i] = append(settled[i], per(m.Settled-none.Settled))
			fresh[i] = append(fresh[i], per(m.Fresh-none.Fresh))
			goroutines[i] = per(m.Goroutines - none.Goroutines)
		}
	}
	var out []Footprint
	for i, k := range kinds {
		out = append(out, Footprint{State: k.State, Side: k.Side, Tasks: tasks,
			Settled: rounds.Median(settled[i]), Fresh: rounds.Median(fresh[i]), Goroutines: goroutines[i]})
	}
	return out, nil
}

// Only returns the kinds of one side, in the given states.
func Only(side string, states ...string) []Kind {
	return slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return k.Side != side || !slices.Contains(states, k.State) })
}
