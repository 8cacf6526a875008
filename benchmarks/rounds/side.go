// Package rounds measures several ways to do the same work in turns, in one
// process: round 1 of all, round 2 of all, and so on. What drifts on a machine
// then drifts for everybody.
package rounds

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Side is one way to do the work of a row.
type Side struct {
	Name string

	// Run does n operations between m.Start and m.Stop, and returns an error
	// unless all of them were really done.
	Run func(m *Meter, n int) error

	// Part divides the row's number of operations, for a side so slow that a
	// round would take minutes. 0 means 1.
	Part int
}

// Row is one kind of work with all the ways to do it.
type Row struct {
	Name  string
	Title string // what is done, for people
	Op    string // what one operation is
	N     int    // operations per round
	Fixed bool   // N is part of what the title says: a short run does as many
	Sides []Side
}

// Meter measures what happens between Start and Stop. Make one per run of a
// side.
type Meter struct {
	b *testing.B // nil: not under go test

	wall          time.Duration
	cpu           time.Duration
	mallocs, size uint64
	stopped       bool
	extra         map[string]float64

	began  time.Time
	cpu0   time.Duration
	before runtime.MemStats
}

// Start begins the measurement, after setup.
func (m *Meter) Start() {
	if m.b != nil {
		m.b.ResetTimer()
	} else {
		runtime.ReadMemStats(&m.before)
	}
	m.cpu0 = CPU()
	m.began = time.Now()
}

// Stop ends it, before the checks.
func (m *Meter) Stop() {
	m.wall = time.Since(m.began)
	m.cpu = CPU() - m.cpu0
	m.stopped = true
	if m.b != nil {
		m.b.StopTimer()
		return
	}
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	m.mallocs = after.Mallocs - m.before.Mallocs
	m.size = after.TotalAlloc - m.before.TotalAlloc
}

// Wall is the time between Start and Stop.
func (m *Meter) Wall() time.Duration { return m.wall }

// Report adds a figure of the side's own. Its unit is written as Go benchmarks
// write theirs: "lost/op".
func (m *Meter) Report(unit string, value float64) {
	if m.extra == nil {
		m.extra = map[string]float64{}
	}
	m.extra[unit] = value
}

// Sample is what one run of one side gave.
type Sample struct {
	Row, Side   string
	N           int
	NsPerOp     float64 // of a clock on the wall
	CPUPerOp    float64 // nanoseconds of all processors, garbage collection included
	AllocsPerOp float64
	BytesPerOp  float64
	Extra       map[string]float64 `json:",omitempty"`
}

// Measure runs one side once.
func Measure(row string, s Side, n int) (Sample, error) {
	runtime.GC()
	m := &Meter{}
	err := s.Run(m, n)
	if err == nil && !m.stopped {
		err = errors.New("not measured")
	}
	if err != nil {
		return Sample{}, fmt.Errorf("%s/%s: %w", row, s.Name, err)
	}
	per := func(v float64) float64 { return v / float64(n) }
	return Sample{
		Row: row, Side: s.Name, N: n,
		NsPerOp: per(float64(m.wall)), CPUPerOp: per(float64(m.cpu)),
		AllocsPerOp: per(float64(m.mallocs)), BytesPerOp: per(float64(m.size)),
		Extra: m.extra,
	}, nil
}

// Bench runs the sides of rows as Go benchmarks, with the number of operations
// that b asks for.
func Bench(b *testing.B, rows []Row) {
	for _, row := range rows {
		b.Run(row.Name, func(b *testing.B) {
			for _, s := range row.Sides {
				b.Run(s.Name, func(b *testing.B) { bench(b, s) })
			}
		})
	}
}

func bench(b *testing.B, s Side) {
	b.ReportAllocs()
	m := &Meter{b: b}
	if err := s.Run(m, b.N); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(m.cpu)/float64(b.N), "cpu-ns/op")
	for unit, v := range m.extra {
		b.ReportMetric(v, unit)
	}
}
