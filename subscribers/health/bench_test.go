package healthsub_test

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var update = flag.Bool("update", false, "write the golden files")

// crowd is a supervisor of n tasks that have all succeeded once.
func crowd(b testing.TB, health *healthsub.Health, n int) *taskvisor.Supervisor {
	b.Helper()
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(health))
	if err != nil {
		b.Fatal(err)
	}
	specs := make([]taskvisor.TaskSpec, 0, n)
	for i := range n {
		specs = append(specs, taskvisor.Periodic(fmt.Sprintf("import-of-folder-%d", i), time.Hour, succeed))
	}
	if err := sup.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	if _, err := sup.AddAll(context.Background(), specs...); err != nil {
		b.Fatal(err)
	}
	for sup.Count(taskvisor.StateWaiting) < n {
		time.Sleep(time.Millisecond)
	}
	return sup
}

// BenchmarkProbe is what a probe costs while no task begins to matter.
func BenchmarkProbe(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "import-of-folder-7"))
		sup := crowd(b, health, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h, r := health.Ready(), httptest.NewRequest("GET", "/readyz", nil)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		})
		_ = sup.Shutdown(context.Background())
	}
}

// BenchmarkFresh is a probe that has to read everything.
func BenchmarkFresh(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		health := healthsub.New()
		sup := crowd(b, health, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				health.OnEvent(b.Context(), taskvisor.Event{Kind: taskvisor.ShutdownRequested}) // as if another task mattered
				if st := health.Status(); len(st.Reasons) > 0 {
					b.Fatal(st)
				}
			}
		})
		b.Run(fmt.Sprint(n, "/snapshot"), func(b *testing.B) {
			for b.Loop() {
				_ = sup.Snapshot()
			}
		})
		_ = sup.Shutdown(context.Background())
	}
}

func BenchmarkOnEvent(b *testing.B) {
	health := healthsub.New()
	e := taskvisor.Event{Kind: taskvisor.TaskStopped, Task: "t", TaskID: 1, Supervisor: "shop"}
	for b.Loop() {
		health.OnEvent(b.Context(), e)
	}
}
