package rounds_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// sides returns a fast side and one that reports more, which note their turns.
func sides(turns *[]string) []rounds.Side {
	side := func(name string) func(*rounds.Meter, int) error {
		return func(m *rounds.Meter, n int) error {
			*turns = append(*turns, name)
			m.Start()
			m.Stop()
			m.Report("lost/op", float64(n))
			return nil
		}
	}
	return []rounds.Side{{Name: "raw", Run: side("raw")}, {Name: "task visor", Run: side("ours"), Part: 10}}
}

func TestSidesTakeTurns(t *testing.T) {
	var turns []string
	var log strings.Builder
	samples, err := rounds.Run([]rounds.Row{{Name: "Row", N: 100, Sides: sides(&turns)}}, 2, &log)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(turns, " "), "raw ours raw ours raw ours"; got != want {
		t.Errorf("turns %q, want %q", got, want)
	}
	if len(samples) != 4 || samples[1].N != 10 {
		t.Errorf("samples %+v, want 4, the second of 10 operations", samples)
	}
	if lines := strings.Count(log.String(), "BenchmarkRow/task_visor"); lines != 2 {
		t.Errorf("%d lines for benchstat, want 2:\n%s", lines, &log)
	}
}

func TestMedians(t *testing.T) {
	results := rounds.Medians([]rounds.Sample{
		{Row: "a", Side: "raw", NsPerOp: 1, Extra: map[string]float64{"x": 5}},
		{Row: "a", Side: "taskvisor", NsPerOp: 10},
		{Row: "a", Side: "raw", NsPerOp: 9, Extra: map[string]float64{"x": 7}},
		{Row: "a", Side: "raw", NsPerOp: 2, Extra: map[string]float64{"x": 6}},
	})
	raw, ok := rounds.Find(results, "a", "raw")
	if !ok || raw.NsPerOp != 2 || raw.Low != 1 || raw.High != 9 || raw.Rounds != 3 || raw.Extra["x"] != 6 {
		t.Errorf("%+v", raw)
	}
	lost := rounds.Medians([]rounds.Sample{{Extra: map[string]float64{rounds.Lost: 0}}, {Extra: map[string]float64{rounds.Lost: 2}}, {Extra: map[string]float64{rounds.Lost: 0}}})
	if got := lost[0].Extra[rounds.Lost]; got != 2 {
		t.Errorf("lost %v, want the worst round's 2", got)
	}
	if even := rounds.Median([]float64{4, 1, 3, 2}); even != 2.5 {
		t.Errorf("median %v, want 2.5", even)
	}
	var table strings.Builder
	if err := rounds.Table(&table, results); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "5.00") {
		t.Errorf("no ratio of 5 in\n%s", &table)
	}
}

func TestWorkThatDidNotHappen(t *testing.T) {
	boom := errors.New("99 attempts, want 100")
	_, err := rounds.Measure("row", rounds.Side{Name: "side", Run: func(*rounds.Meter, int) error { return boom }}, 100)
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "row/side") {
		t.Errorf("error %v", err)
	}
	if _, err := rounds.Measure("row", rounds.Side{Name: "side", Run: func(*rounds.Meter, int) error { return nil }}, 1); err == nil {
		t.Error("a side that measured nothing passed")
	}
}
