package main

import (
	"testing"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

func BenchmarkPeers(b *testing.B) { rounds.Bench(b, rows()) }

// TestWork does the work of every side once, since CI runs no benchmarks of
// modules outside of the workspace.
func TestWork(t *testing.T) {
	for _, row := range rows() {
		for _, s := range row.Sides {
			if _, err := rounds.Measure(row.Name, s, 100); err != nil {
				t.Error(err)
			}
		}
	}
}
