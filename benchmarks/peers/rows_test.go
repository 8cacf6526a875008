package peers_test

import (
	"testing"

	"github.com/taskvisor/taskvisor-go/benchmarks/peers"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// TestWork does the work of every side, so that all of them are known to do it
// also where nobody runs benchmarks. Sides hold themselves against what they
// should have done.
func TestWork(t *testing.T) {
	for _, row := range peers.Rows() {
		for _, s := range row.Sides {
			t.Run(row.Name+"/"+s.Name, func(t *testing.T) {
				if _, err := rounds.Measure(row.Name, s, 48); err != nil { // 48 is a whole number of events and publishers
					t.Error(err)
				}
			})
		}
	}
}
