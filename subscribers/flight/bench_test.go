package flightsub_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkAttempts is what attempts cost without a subscriber, with one, and with a
// flight recorder that runs beside it.
func BenchmarkAttempts(b *testing.B) {
	run := func(b *testing.B, opts ...taskvisor.Option) {
		sup, err := taskvisor.New(append(opts, taskvisor.WithMaxConcurrent(runtime.GOMAXPROCS(0)))...)
		if err != nil {
			b.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		left := make(chan struct{}, 1)
		n := 0
		b.ReportAllocs()
		_, err = sup.Add(context.Background(), taskvisor.Restartable("t", func(context.Context) error {
			if n++; n >= b.N {
				left <- struct{}{}
				return taskvisor.ErrCanceled
			}
			return nil
		}, taskvisor.RestartAlways(0), taskvisor.WithoutRestartFloor()))
		if err != nil {
			b.Fatal(err)
		}
		<-left
		b.StopTimer()
		if err := sup.Shutdown(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("none", func(b *testing.B) { run(b, taskvisor.WithSubscriber(taskvisor.Discard)) })
	nothing := taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) {})
	b.Run("any queued subscriber", func(b *testing.B) { run(b, taskvisor.WithSubscriber(nothing)) })
	b.Run("flightsub", func(b *testing.B) { run(b, taskvisor.WithSubscriber(newRecorder(b))) })
	b.Run("flightsub and recorder", func(b *testing.B) {
		run(b, taskvisor.WithSubscriber(newRecorder(b, flightsub.WithFlightRecorder(flight(b)))))
	})
}

// BenchmarkSwitches is what a program pays for the recorder that does nothing but switch
// goroutines: the worst case.
func BenchmarkSwitches(b *testing.B) {
	ping := func(b *testing.B) {
		to, from := make(chan int), make(chan int)
		go func() {
			for v := range to {
				from <- v
			}
			close(from)
		}()
		for b.Loop() {
			to <- 1
			<-from
		}
		close(to)
		<-from
	}
	b.Run("off", ping)
	b.Run("on", func(b *testing.B) {
		flight(b)
		ping(b)
	})
}

// BenchmarkIncident is one incident, in memory and on disk, with and without a recording.
func BenchmarkIncident(b *testing.B) {
	e := taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultPanic, Err: errBoom, Supervisor: "shop", Task: "t", Time: time.Now(), Stack: "main.main()\n"}
	for _, recorded := range []bool{false, true} {
		for _, disk := range []bool{false, true} {
			b.Run(fmt.Sprintf("recorded=%t/disk=%t", recorded, disk), func(b *testing.B) {
				opts := []flightsub.Option{flightsub.WithRate(0, 1), flightsub.WithMaxCount(10)}
				if recorded {
					opts = append(opts, flightsub.WithFlightRecorder(flight(b)))
				}
				if disk {
					opts = append(opts, flightsub.WithDir(b.TempDir()))
				}
				r := newRecorder(b, opts...)
				for b.Loop() {
					r.OnEvent(b.Context(), e)
				}
				if len(r.List()) == 0 {
					b.Fatal("none was kept")
				}
				b.ReportMetric(float64(r.List()[0].Bytes), "bytes/incident")
			})
		}
	}
}

func BenchmarkOnEvent(b *testing.B) {
	r := newRecorder(b)
	e := taskvisor.Event{Kind: taskvisor.TaskStopped, Task: "t", TaskID: 1, Supervisor: "shop"}
	for b.Loop() {
		r.OnEvent(b.Context(), e)
	}
}
