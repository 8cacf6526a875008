package peers

import (
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Rows is the work that taskvisor and its peers are compared by. Side "raw" is
// bare Go.
func Rows() []rounds.Row {
	rows := []rounds.Row{
		{Name: "Restart", Title: "restart loop, no subscriber", Op: "attempt", N: 1_000_000, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawRestart},
			{Name: "taskvisor", Run: work.Restart()},
			{Name: "backoff", Run: backoffRestart},
			{Name: "failsafe", Run: failsafeRestart()},
			{Name: "suture", Run: sutureRestart, Part: 5},
			{Name: "oversight", Run: oversightRestart, Part: 10},
		}},
		{Name: "RestartTimeout", Title: "restart loop, a timeout per attempt", Op: "attempt", N: 500_000, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawTimeout},
			{Name: "taskvisor", Run: work.Restart(taskvisor.WithTimeout(time.Minute))},
			{Name: "failsafe", Run: failsafeTimeout()},
		}},
		{Name: "Gate", Title: "restart loop, without a gate and with one that is free", Op: "attempt", N: 500_000, Sides: []rounds.Side{
			{Name: "taskvisor", Run: work.Restart()},
			{Name: "free gate", Run: work.RestartGated},
		}},
	}
	for _, n := range []int{1, 4, 16} {
		rows = append(rows, beside(n))
	}
	rows = append(rows, lives()...)
	return append(rows, failures()...)
}

func beside(n int) rounds.Row {
	return rounds.Row{
		Name: fmt.Sprintf("Subscribers%d", n), Title: fmt.Sprintf("restart loop, %d queued subscribers", n),
		Op: "attempt", N: 300_000, Sides: Beside(n),
	}
}

// Beside is a restart loop with n subscribers: through channels and with bare
// Go, with taskvisor, and with suture, which has one event per attempt where the
// others have three.
func Beside(n int) []rounds.Side {
	return []rounds.Side{
		{Name: "channels", Run: work.ChannelLoop(n), Part: 1 + n/8},
		{Name: "taskvisor", Run: work.RestartBeside(work.Counters(n))},
		{Name: "suture", Run: sutureBeside(n), Part: 5},
	}
}

func lives() []rounds.Row {
	return []rounds.Row{
		{Name: "OneShot", Title: "one-shot: add, run, wait", Op: "task", N: 300_000, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawOneShot},
			{Name: "raw+contract", Run: work.EquippedOneShot},
			{Name: "taskvisor", Run: work.OneShot},
			{Name: "errgroup", Run: errgroupOneShot},
			{Name: "oklog", Run: oklogOneShot},
			{Name: "conc", Run: concOneShot},
			{Name: "suture", Run: sutureOneShot, Part: 3},
		}},
		{Name: "Batch", Title: "Run of 100 000 instant tasks", Op: "task", N: 100_000, Fixed: true, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawBatch},
			{Name: "raw+contract", Run: work.EquippedBatch},
			{Name: "taskvisor", Run: work.Batch(0)},
			{Name: "taskvisor+1", Run: work.Batch(1)},
			{Name: "errgroup", Run: errgroupBatch},
			{Name: "oklog", Run: oklogBatch},
			{Name: "conc", Run: concBatch},
			{Name: "suture", Run: sutureBatch},
		}},
		{Name: "Batch10k", Title: "Run of 10 000 instant tasks, with a subscriber at the defaults", Op: "task", N: 10_000, Fixed: true, Sides: []rounds.Side{
			{Name: "taskvisor", Run: work.Batch(1)},
		}},
		{Name: "Stop", Title: "stop 100 000 idle tasks", Op: "task", N: 100_000, Fixed: true, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawStop},
			{Name: "raw-each", Run: work.RawStopEach},
			{Name: "taskvisor", Run: work.Stop},
			{Name: "errgroup", Run: errgroupStop},
			{Name: "oklog", Run: oklogStop},
			{Name: "conc", Run: concStop},
			{Name: "suture", Run: sutureStop},
		}},
	}
}

func failures() []rounds.Row {
	return []rounds.Row{
		{Name: "Failures", Title: "5 failures, then success", Op: "task", N: 100_000, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawFailures},
			{Name: "raw+contract", Run: work.EquippedFailures},
			{Name: "taskvisor", Run: work.FailuresThenSuccess},
			{Name: "backoff", Run: backoffFailures},
			{Name: "failsafe", Run: failsafeFailures},
			{Name: "suture", Run: sutureFailures, Part: 3},
		}},
		{Name: "Panic", Title: "panic and restart", Op: "attempt", N: 100_000, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawPanic},
			{Name: "raw+stack", Run: work.RawPanicStack},
			{Name: "taskvisor", Run: work.Panic},
			{Name: "taskvisor+text", Run: work.PanicText},
			{Name: "conc", Run: concPanic},
			{Name: "oversight", Run: oversightPanic, Part: 5},
			{Name: "suture", Run: suturePanic, Part: 5},
		}},
		{Name: "Slow", Title: "restart loop beside a subscriber that takes 100 µs per event", Op: "attempt", N: 300_000, Sides: []rounds.Side{
			{Name: "draining", Run: work.RestartBeside(work.Counters(1))},
			{Name: "taskvisor", Run: work.BesideSlow(work.Sleeper{For: 100 * time.Microsecond})},
			{Name: "spinning", Run: work.BesideSlow(work.Spinner{For: 100 * time.Microsecond})},
			{Name: "suture", Run: sutureSleeper, Part: 1000},
		}},
	}
}
