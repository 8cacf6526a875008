package promsub_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// attemptEvents are the two events of an attempt, made once: what is measured
// is the subscriber and not the making of events.
func attemptEvents(id taskvisor.TaskID, name string) [2]taskvisor.Event {
	now := time.Now()
	return [2]taskvisor.Event{
		{Kind: taskvisor.TaskStarting, TaskID: id, Task: name, Time: now, Attempt: 2},
		{
			Kind: taskvisor.TaskStopped, TaskID: id, Task: name, Time: now, Attempt: 2,
			Result: taskvisor.ResultSuccess, Duration: 3 * time.Millisecond,
		},
	}
}

func TestAttemptDoesNotAllocate(t *testing.T) {
	for name, opts := range map[string][]promsub.Option{
		"plain":     nil,
		"exemplars": {promsub.WithExemplars(fromContext)}, // asked for, but nothing is sampled
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, opts...)
			r.added(1, "a")
			var sub taskvisor.Subscribe = r.sub
			events := attemptEvents(1, "a")
			ctx := context.Background()
			sub.OnEvent(ctx, events[1]) // the first makes the native histogram's bucket
			if n := testing.AllocsPerRun(1000, func() {
				sub.OnEvent(ctx, events[0])
				sub.OnEvent(ctx, events[1])
			}); n != 0 {
				t.Errorf("an attempt allocates %v times", n)
			}
		})
	}
}

// BenchmarkAttempt is what an attempt costs: TaskStarting and TaskStopped.
func BenchmarkAttempt(b *testing.B) {
	for _, c := range []struct {
		name string
		opts []promsub.Option
		ctx  context.Context
		kind taskvisor.ResultKind
	}{
		{"plain", nil, context.Background(), taskvisor.ResultSuccess},
		{"classic", []promsub.Option{promsub.WithoutNativeHistograms()}, context.Background(), taskvisor.ResultSuccess},
		{"unsampled", []promsub.Option{promsub.WithExemplars(fromContext)}, context.Background(), taskvisor.ResultSuccess},
		{"sampled", []promsub.Option{promsub.WithExemplars(fromContext)}, traced("4bf92f3577b34da6a3ce929d0e0e4736"), taskvisor.ResultSuccess},
		{"sampled-failure", []promsub.Option{promsub.WithExemplars(fromContext)}, traced("4bf92f3577b34da6a3ce929d0e0e4736"), taskvisor.ResultFailure},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b, c.opts...)
			r.added(1, "a")
			var sub taskvisor.Subscribe = r.sub
			events := attemptEvents(1, "a")
			events[1].Result = c.kind
			b.ReportAllocs()
			for b.Loop() {
				sub.OnEvent(c.ctx, events[0])
				sub.OnEvent(c.ctx, events[1])
			}
		})
	}
}

// BenchmarkAttemptParallel is the same for a task per goroutine.
func BenchmarkAttemptParallel(b *testing.B) {
	r := newRig(b)
	ids := make(chan taskvisor.TaskID, 1024)
	for id := range taskvisor.TaskID(1024) {
		ids <- id + 1
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		id := <-ids
		name := fmt.Sprint(id)
		r.added(id, name)
		events := attemptEvents(id, name)
		for pb.Next() {
			r.sub.OnEvent(context.Background(), events[0])
			r.sub.OnEvent(context.Background(), events[1])
		}
	})
}

// BenchmarkTask is what a task costs beside its attempts: the first of its name,
// and one whose series are there.
func BenchmarkTask(b *testing.B) {
	r := newRig(b, promsub.WithMaxTasks(1<<30))
	life := func(id taskvisor.TaskID, name string) {
		r.sub.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.TaskAdded, TaskID: id, Task: name})
		r.sub.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.TaskRemoved, TaskID: id, Task: name})
	}
	id := taskvisor.TaskID(0) // of all rounds: a name that comes back is not new
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for ; b.Loop(); id++ {
			life(id, fmt.Sprint(id))
		}
	})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for ; b.Loop(); id++ {
			life(id, "known")
		}
	})
}

// BenchmarkScrape gathers the series of tasks that have succeeded and failed.
// "collect" is this package's part, "gather" adds the registry's.
func BenchmarkScrape(b *testing.B) {
	for _, tasks := range []int{100, 1_000, 10_000} {
		r := newRig(b, promsub.WithMaxTasks(tasks))
		for i := range tasks {
			id, name := taskvisor.TaskID(i+1), fmt.Sprintf("task-%d", i)
			r.added(id, name)
			r.attempt(id, name, taskvisor.ResultSuccess, time.Millisecond)
			r.attempt(id, name, taskvisor.ResultFailure, time.Millisecond)
			r.snap.Tasks = append(r.snap.Tasks, taskvisor.TaskStatus{
				ID: id, Name: name, State: taskvisor.StateWaiting, NextStart: r.now, LastSuccess: r.now,
			})
		}
		b.Run(fmt.Sprintf("collect/tasks=%d", tasks), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ch, done := make(chan prometheus.Metric, 1000), make(chan struct{})
				go func() { // ends when ch is closed, below
					defer close(done)
					for range ch {
					}
				}()
				r.sub.Collect(ch)
				close(ch)
				<-done
			}
		})
		b.Run(fmt.Sprintf("gather/tasks=%d", tasks), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.reg.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
