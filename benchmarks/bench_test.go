package benchmarks_test

import (
	"testing"

	"github.com/taskvisor/taskvisor-go/benchmarks/peers"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// BenchmarkPeers is the table of docs/benchmarks.md, a row and a side per
// benchmark. cmd/bench alternates them, which go test does not.
func BenchmarkPeers(b *testing.B) { rounds.Bench(b, peers.Rows()) }
