package rounds

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// Run measures every side of every row, rounds times, in turns, after one short
// round that does not count. What it has measured it also writes to log, in the
// format of Go benchmarks, which benchstat reads.
func Run(rows []Row, rounds int, log io.Writer) ([]Sample, error) {
	var all []Sample
	for _, row := range rows {
		for round := range rounds + 1 {
			for _, s := range row.Sides {
				n := max(1, row.N/max(1, s.Part))
				if round == 0 {
					n = max(1, n/10)
				}
				sample, err := Measure(row.Name, s, n)
				if err != nil {
					return all, err
				}
				if round > 0 {
					all = append(all, sample)
					fmt.Fprintln(log, sample.line())
				}
			}
		}
	}
	return all, nil
}

// line is the sample as a line of benchmark output.
func (s Sample) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Benchmark%s/%s \t%8d\t%12.5g ns/op\t%12.5g cpu-ns/op\t%8.4g B/op\t%8.4g allocs/op",
		s.Row, strings.ReplaceAll(s.Side, " ", "_"), s.N, s.NsPerOp, s.CPUPerOp, s.BytesPerOp, s.AllocsPerOp)
	for _, unit := range sortedKeys(s.Extra) {
		fmt.Fprintf(&b, "\t%8.4g %s", s.Extra[unit], unit)
	}
	return b.String()
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Median returns the median of values, which must not be empty.
func Median(values []float64) float64 {
	v := slices.Clone(values)
	slices.Sort(v)
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// Lost is the unit of events that did not reach a subscriber. It is the one figure
// of which a result has the worst round instead of the median.
const Lost = "lost/op"

// Result is one side of a row: the medians of all its rounds.
type Result struct {
	Row, Side                                  string
	Rounds, N                                  int
	NsPerOp, CPUPerOp, AllocsPerOp, BytesPerOp float64
	Low, High                                  float64            // fastest and slowest round, ns per operation
	Extra                                      map[string]float64 `json:",omitempty"`
}

// Medians sums up the samples by row and side, in their order.
func Medians(samples []Sample) []Result {
	var order []string
	groups := map[string][]Sample{}
	for _, s := range samples {
		key := s.Row + "\x00" + s.Side
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], s)
	}
	var out []Result
	for _, key := range order {
		out = append(out, median(groups[key]))
	}
	return out
}

func median(g []Sample) Result {
	of := func(f func(Sample) float64) float64 {
		v := make([]float64, len(g))
		for i, s := range g {
			v[i] = f(s)
		}
		return Median(v)
	}
	r := Result{
		Row: g[0].Row, Side: g[0].Side, Rounds: len(g), N: g[0].N,
		NsPerOp:     of(func(s Sample) float64 { return s.NsPerOp }),
		CPUPerOp:    of(func(s Sample) float64 { return s.CPUPerOp }),
		AllocsPerOp: of(func(s Sample) float64 { return s.AllocsPerOp }),
		BytesPerOp:  of(func(s Sample) float64 { return s.BytesPerOp }),
		Low:         g[0].NsPerOp, High: g[0].NsPerOp,
	}
	for _, s := range g {
		r.Low, r.High = min(r.Low, s.NsPerOp), max(r.High, s.NsPerOp)
	}
	for unit := range g[0].Extra {
		if r.Extra == nil {
			r.Extra = map[string]float64{}
		}
		r.Extra[unit] = of(func(s Sample) float64 { return s.Extra[unit] })
		if unit == Lost { // once is too often
			for _, s := range g {
				r.Extra[unit] = max(r.Extra[unit], s.Extra[unit])
			}
		}
	}
	return r
}
