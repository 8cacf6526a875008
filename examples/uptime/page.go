package main

import (
	"runtime/trace"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
)

// newPage returns the status page: the live page, with what it cannot know of the
// targets in a section of its own. "Run now" is a check now.
func (a *app) newPage() *livesub.Page {
	return livesub.New(
		livesub.WithActions(operator),
		livesub.WithTraceLabels(otelsub.TraceLabels),
		livesub.WithSection("targets", a.section),
		livesub.WithIncidents(a.listIncidents, a.incidents.Handler()),
	)
}

// newIncidents keeps evidence of panics and hangs in memory, with what the flight
// recorder has, if there is one. A target that is given up is no fault of the program's.
func newIncidents(recorder *trace.FlightRecorder) (*flightsub.Recorder, error) {
	return flightsub.New(
		flightsub.WithFlightRecorder(recorder), flightsub.WithLogger(nil), // the page lists them
		flightsub.WithTriggers(flightsub.Panic, flightsub.Stuck, flightsub.Abandoned, flightsub.GraceExceeded),
	)
}

func (a *app) listIncidents() (list []livesub.Incident) {
	for _, in := range a.incidents.List() {
		list = append(list, livesub.Incident(in))
	}
	return list
}

// section is what the page cannot know of the targets: where they are.
func (a *app) section() livesub.Section {
	s := livesub.Section{Columns: []string{"target", "address"}}
	for _, name := range a.order {
		s.Rows = append(s.Rows, []string{name, a.targets[name].shown.String()})
	}
	return s
}
