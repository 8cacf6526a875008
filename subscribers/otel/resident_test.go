package otelsub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Tasks whose attempt may never end, what counts as one, and attempts that turn out
// to be as long.

func TestResidentTasks(t *testing.T) {
	noParent := func(ctx context.Context) {
		if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
			t.Errorf("the body has the span %s", sc.SpanID())
		}
	}
	inRig(t, nil, nil, func(r *rig) {
		stop := func(h *taskvisor.Handle) {
			time.Sleep(time.Minute)
			h.Stop()
			synctest.Wait()
		}
		h := r.add(r.request(), resident(steps(
			step{3 * time.Hour, errBoom, noParent}, // its failure begins a story
			step{time.Minute / 2, errBoom, noParent},
			step{72 * time.Hour, errBoom, noParent}, // and this ends it: three days later is another
		)))
		r.after(h, 3)
		time.Sleep(2 * time.Second)
		stop(h)
		expectShape(t, r.spans, `
			trace 1
			  #1 request 0s
			trace 2
			  #2 start job 0s
			     -> submitter #1
			trace 3
			  #3 run job 3h0m0s
			     -> start #2
			    #4 start job 0s
			       -> previous_attempt #3
			    #5 run job 30s
			       -> start #4
			    #6 start job 0s
			       -> previous_attempt #5
			trace 4
			  #7 run job 72h0m0s
			     -> start #6
			     -> previous_attempt #5
			    #8 start job 0s
			       -> previous_attempt #7
			    #9 run job 1m0s
			       -> start #8
		`)
	})
}

func TestModes(t *testing.T) {
	every := func(m otelsub.SpanMode) otelsub.Option {
		return otelsub.WithSpanFor(func(taskvisor.TaskSpec) otelsub.SpanMode { return m })
	}
	defaults := every(otelsub.SpanDefault)
	always := taskvisor.RestartAlways(0)
	body := steps(ok())
	hourly := func(prev time.Time) time.Time { return prev.Truncate(time.Hour).Add(time.Hour) }
	for _, c := range []struct {
		name string
		spec func(taskvisor.Func) taskvisor.TaskSpec
		opt  otelsub.Option
		want string
	}{
		{"once", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Once("t", f) }, defaults, "run"},
		{"on failure", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Restartable("t", f) }, defaults, "start run"},
		{"on failure with a timeout", func(f taskvisor.Func) taskvisor.TaskSpec {
			return taskvisor.Restartable("t", f, taskvisor.WithTimeout(time.Minute))
		}, defaults, "run"},
		{"always", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Restartable("t", f, always) }, defaults, "start run"},
		{"always with a timeout", func(f taskvisor.Func) taskvisor.TaskSpec {
			return taskvisor.Restartable("t", f, always, taskvisor.WithTimeout(time.Minute))
		}, defaults, "run"},
		{"periodic", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Periodic("t", time.Hour, f) }, defaults, "run"},
		{"scheduled", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Scheduled("t", hourly, f) }, defaults, "run"},
		{"periodic as resident", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Periodic("t", time.Hour, f) }, every(otelsub.SpanStartEnd), "start run"},
		{"resident as bounded", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Restartable("t", f) }, every(otelsub.SpanAttempt), "run"},
		{"none", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Once("t", f) }, every(otelsub.SpanNone), ""},
		{"unknown mode", func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Once("t", f) }, every(200), "run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body = steps(ok())
			inRig(t, []otelsub.Option{c.opt}, nil, func(r *rig) {
				r.add(context.Background(), c.spec(body))
				time.Sleep(time.Hour + 30*time.Second)
				synctest.Wait()
				got := ""
				for _, s := range r.spans.Ended() {
					if got += s.Name()[:len(s.Name())-len(" t")] + " "; strings.HasPrefix(s.Name(), "run") {
						break // of the first attempt
					}
				}
				if got = trimmed(got); got != c.want {
					t.Errorf("spans %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestAttemptOutgrowsItsTrace: the one task that a process exists for, as users of
// errgroup write it, makes a span for each message. They must not end up in one trace,
// nor without a parent in the store.
func TestAttemptOutgrowsItsTrace(t *testing.T) {
	for name, spec := range map[string]func(taskvisor.Func) taskvisor.TaskSpec{
		"once":     func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Once("job", f, taskvisor.WithEssential()) },
		"periodic": func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Periodic("job", time.Minute, f) },
		"long timeout": func(f taskvisor.Func) taskvisor.TaskSpec {
			return taskvisor.Once("job", f, taskvisor.WithTimeout(80*time.Hour))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, nil, nil, func(r *rig) {
				var ctx context.Context
				h := r.add(r.request(), spec(func(c context.Context) error {
					ctx = c
					for c.Err() == nil {
						r.child(c, "message")
						select {
						case <-c.Done():
						case <-time.After(time.Minute):
						}
					}
					return nil
				}))
				time.Sleep(71*time.Hour - time.Second)
				sizes, orphans, largest := r.traces()
				if largest > 62 || orphans > 0 || sizes < 4000 {
					t.Errorf("after 71 h: %d traces, the largest has %d spans, %d are without their parent", sizes, largest, orphans)
				}
				if labels := otelsub.TraceLabels(ctx); labels["span_id"] != r.spans.Started()[1].SpanContext().SpanID().String() {
					t.Errorf("the labels are %v", labels)
				}
				h.Stop()
				synctest.Wait()
				got := ""
				for _, s := range r.spans.Ended() {
					if s.Name() != "message" && s.Name() != "request" {
						got += fmt.Sprintf("%s %s %d links; ", s.Name(), s.EndTime().Sub(s.StartTime()), len(s.Links()))
					}
				}
				if want := "start job 1h0m0s 1 links; run job 70h59m59s 1 links; "; got != want {
					t.Errorf("spans %s, want %s", got, want)
				}
			})
		})
	}
}

// traces returns the number of traces, of spans whose parent is not in the store, and
// of spans in the largest trace.
func (r *rig) traces() (traces, orphans, largest int) {
	have, sizes := make(map[trace.SpanID]bool), make(map[trace.TraceID]int)
	for _, s := range r.spans.Ended() {
		have[s.SpanContext().SpanID()] = true
	}
	for _, s := range r.spans.Ended() {
		id := s.SpanContext().TraceID()
		sizes[id]++
		largest = max(largest, sizes[id])
		if s.Parent().IsValid() && !have[s.Parent().SpanID()] {
			orphans++
		}
	}
	return len(sizes), orphans, largest
}

// TestBusyAttemptOutgrowsItsTrace: thousands of messages a second fill a trace sooner.
func TestBusyAttemptOutgrowsItsTrace(t *testing.T) {
	inRig(t, nil, nil, func(r *rig) {
		r.add(context.Background(), taskvisor.Once("job", func(ctx context.Context) error {
			for range 40_000 {
				r.child(ctx, "message")
				time.Sleep(time.Millisecond)
			}
			return nil
		}))
		time.Sleep(time.Minute)
		traces, orphans, largest := r.traces()
		if largest < 5_000 || largest > 30_000 || orphans > 0 || traces < 10_000 {
			t.Errorf("%d traces, the largest has %d spans, %d are without their parent", traces, largest, orphans)
		}
	})
}

// TestShortAttemptKeepsItsSpan: an attempt that ends in time is one span, and nothing
// of it runs on.
func TestShortAttemptKeepsItsSpan(t *testing.T) {
	inRig(t, nil, nil, func(r *rig) {
		h := r.add(context.Background(), bounded(steps(step{took: 59 * time.Minute, body: func(ctx context.Context) {
			if !trace.SpanFromContext(ctx).IsRecording() {
				t.Error("the body's span does not record")
			}
			trace.SpanFromContext(ctx).AddEvent("mine")
		}})))
		r.after(h, 1)
		expectShape(t, r.spans, `
			trace 1
			  #1 run job 59m0s
			     * mine
		`)
	})
}
