// Package flightsub keeps the evidence when something goes wrong in supervised work: an
// incident for a panic, a stuck or abandoned body, a task that gives up, a body that was
// silent for too long and a shutdown that was not over in time. It is made of the
// standard library alone.
//
//	recorder := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: 5 * time.Second})
//	if err := recorder.Start(); err != nil { // optional
//		return err
//	}
//	incidents, err := flightsub.New(flightsub.WithDir("/var/lib/shop/incidents"), flightsub.WithFlightRecorder(recorder))
//	…
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(incidents))
//
// # What an incident is
//
// A zip file of
//
//	incident.json  the event, the task's status and policy, its last events, the tree of its error
//	stacks.txt     the stacks of its goroutines, as far as there are any
//	trace.out      what the flight recorder has, to open with "go tool trace trace.out"
//
// The object in incident.json has "version": 1, which changes when the meaning of a
// member does. Names are those of events and of snapshots.
//
// # How much there is of it
//
// A program that fails fails often. A task has one incident a minute at most, and all
// together ten at once and one more every six seconds ([WithRate]), but for that of a
// shutdown, which comes last; what was left out is counted in the next one. At most 100 incidents and 64 MiB are kept, the latest
// ([WithMaxCount], [WithMaxBytes]), in memory or in a directory ([WithDir]), where those
// of earlier processes count as well. A file appears whole or not at all.
//
// Of one incident, statuses and the tree of the error take 32 KiB each in incident.json,
// stacks 256 KiB: "left_out" there says how much more there was.
//
// # Where they are seen
//
// The id, and the path if there is one, is logged ([WithLogger]). [Recorder.Handler]
// lists and serves incidents by itself or on the live page:
//
//	livesub.WithIncidents(func() (list []livesub.Incident) {
//		for _, in := range incidents.List() {
//			list = append(list, livesub.Incident(in))
//		}
//		return list
//	}, incidents.Handler())
//
// Whoever may read them reads names, notes, error texts, stacks and, in a trace, the
// functions that ran: see [WithErrorFormatter] for what must not be shown.
//
// # What it costs
//
// The subscriber is queued: no task waits for it. It keeps the last 16 events of each
// task, about 2 KB when full. Nothing else happens until there is an incident. A flight
// recorder is the runtime's execution tracer with the results thrown away: it costs a
// switch of goroutines up to a microsecond (0.5 to 1.4 were measured on a busy machine),
// and memory for its window. An incident costs 0.1 ms, and what it takes to
// write and sync a file; with a recording 10 to 25 ms.
package flightsub
