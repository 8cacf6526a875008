//go:build unix

package taskvisor_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What a task costs while it does nothing: the resident memory of a process with
// n of them, after a collection of garbage, less that of the same process with
// none. Each figure is that of a process of its own, since what one part of a
// benchmark has left behind is memory to the next.

// footprints makes n tasks of a kind, or the same with what Go offers, and
// returns when all of them do nothing. What it returns is kept.
var footprints = map[string]func(n int) any{
	"idle/raw": func(n int) any {
		var begun atomic.Int64
		never := make(chan struct{})
		for range n {
			go func() {
				_ = protect(func(context.Context) error {
					begun.Add(1)
					<-never
					return nil
				})
			}()
		}
		until(func() bool { return begun.Load() == int64(n) })
		return never
	},
	"idle/taskvisor": func(n int) any {
		return footprint(n, taskvisor.StateRunning, func(name string, begun *atomic.Int64) taskvisor.TaskSpec {
			return taskvisor.Once(name, func(ctx context.Context) error {
				begun.Add(1)
				<-ctx.Done()
				return nil
			})
		})
	},
	"backoff/raw": rawTimers,
	"backoff/taskvisor": func(n int) any {
		return footprint(n, taskvisor.StateBackoff, func(name string, begun *atomic.Int64) taskvisor.TaskSpec {
			return taskvisor.Restartable(name, func(context.Context) error {
				begun.Add(1)
				return errBoom
			}, taskvisor.ConstantBackoff(time.Hour))
		})
	},
	"periodic/raw": rawTimers,
	"periodic/taskvisor": func(n int) any {
		return footprint(n, taskvisor.StateWaiting, func(name string, begun *atomic.Int64) taskvisor.TaskSpec {
			return taskvisor.Periodic(name, time.Hour, func(context.Context) error {
				begun.Add(1)
				return nil
			})
		})
	},
}

// rawTimers has each of n bodies called once, and once more in an hour.
func rawTimers(n int) any {
	called := 0
	fn := func(context.Context) error { called++; return nil }
	for range n {
		_ = protect(fn)
		time.AfterFunc(time.Hour, func() { _ = protect(fn) })
	}
	if called != n {
		panic(called)
	}
	return nil
}

// footprint gives a supervisor n tasks that get into the state, each after its
// body began once.
func footprint(n int, state taskvisor.State, spec func(name string, begun *atomic.Int64) taskvisor.TaskSpec) any {
	sup, err := taskvisor.New()
	must(err)
	must(sup.Start(context.Background()))
	var begun atomic.Int64
	for i := range n {
		_, err := sup.Add(context.Background(), spec(fmt.Sprintf("task-%07d", i), &begun))
		must(err)
	}
	until(func() bool { return begun.Load() == int64(n) })
	until(func() bool { return sup.Count(state) == n })
	return sup
}

func until(condition func() bool) {
	for !condition() {
		runtime.Gosched()
	}
}

const (
	footprintKind = "TASKVISOR_TEST_FOOTPRINT"
	footprintN    = "TASKVISOR_TEST_FOOTPRINT_N"
)

// measureFootprint is the child.
func measureFootprint() childReport {
	n, err := strconv.Atoi(os.Getenv(footprintN))
	must(err)
	kept := footprints[os.Getenv(footprintKind)](n)
	runtime.GC()
	debug.FreeOSMemory()
	r := childReport{RSS: resident(), Goroutines: runtime.NumGoroutine()}
	runtime.KeepAlive(kept)
	return r
}

// resident is the memory of this process that is in use.
func resident() int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil { // not Linux: what the runtime got and has not given back
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.Sys - m.HeapReleased)
	}
	var size, pages int
	_, err = fmt.Sscan(string(statm), &size, &pages)
	must(err)
	return pages * os.Getpagesize()
}

// BenchmarkFootprint reports the memory and the goroutines of a task; the time is
// that of two processes and means nothing.
func BenchmarkFootprint(b *testing.B) {
	for _, row := range []struct {
		kind  string
		tasks int
	}{{"idle", 100_000}, {"backoff", 100_000}, {"periodic", 1_000_000}} {
		for _, who := range []string{"raw", "taskvisor"} {
			b.Run(fmt.Sprintf("%s=%d/%s", row.kind, row.tasks, who), func(b *testing.B) {
				measure := func(n int) childReport {
					r, err := runChild(b, "footprint", footprintKind+"="+row.kind+"/"+who, footprintN+"="+strconv.Itoa(n))
					if err != nil || r.RSS == 0 {
						b.Fatal(r, err)
					}
					return r
				}
				rss, goroutines := 0, 0
				for b.Loop() {
					with, without := measure(row.tasks), measure(0)
					rss += with.RSS - without.RSS
					goroutines += with.Goroutines - without.Goroutines
				}
				b.ReportMetric(float64(rss)/float64(b.N)/float64(row.tasks), "RSS-B/task")
				b.ReportMetric(float64(goroutines)/float64(b.N)/float64(row.tasks), "goroutines/task")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
