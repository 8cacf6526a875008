// Package benchmarks measures taskvisor beside its peers and beside what bare
// Go can do. It has no code itself; look into
//
//	rounds     how things are measured: rows, sides that alternate, medians
//	work       the work of each row, with bare goroutines and with taskvisor
//	peers      the same work with other libraries
//	dskit      the same for a library that needs a newer Go: a module of its own
//	exporters  subscribers beside hand-written instrumentation; scrapes, snapshots, pages
//	load       what subscribers get and lose under load
//	growth     cost against the number of tasks that are there already
//	footprint  memory per task of whole processes; a million periodic tasks
//	cmd/bench  runs all that and writes results/
//	cmd/page   makes docs/benchmarks.md and its plot from results/
//
// As Go benchmarks everything runs with small sizes, so that it can run in a
// minute; cmd/bench knows the full ones.
package benchmarks
