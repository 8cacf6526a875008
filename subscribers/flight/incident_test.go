package flightsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestTriggers: each kind of trouble leaves one incident, with what is known of it.
func TestTriggers(t *testing.T) {
	for name, c := range map[string]struct {
		cause              func(t *testing.T, sup *taskvisor.Supervisor)
		event, text, stack string // what the incident shows; stack "": none
		state              string // of the task; "": it is gone
		policy             string
	}{
		"panic": {func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", panics, taskvisor.ConstantBackoff(time.Hour)))
		}, "task_failed", "boom", "flight_test.panics", "backoff", "1h0m0s"},
		"stuck": {func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
			later(10 * time.Second)
		}, "task_stuck", "", "flight_test.TestTriggers", "running", "timeout"},
		"abandoned": {func(t *testing.T, sup *taskvisor.Supervisor) {
			h := add(t, sup, taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithGrace(time.Second)))
			h[0].Stop()
			later(10 * time.Second)
		}, "task_abandoned", "grace", "flight_test.TestTriggers", "abandoned", "on_failure"},
		"gave_up": {func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", fail, taskvisor.WithMaxRetries(2), taskvisor.ConstantBackoff(time.Second)))
			later(10 * time.Second)
		}, "actor_exhausted", "boom", "", "", "retries"},
		"fatal": {func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", func(context.Context) error { return taskvisor.Fatal(errBoom) }))
		}, "actor_dead", "boom", "", "", "orders: restart on_failure, backoff 200ms"},
		"idle_timeout": {func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithIdleTimeout(time.Minute)))
			later(61 * time.Second)
		}, "timeout_hit", "", "flight_test.TestTriggers", "running", "idle"},
		"grace_exceeded": {func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", deaf(time.Hour)), taskvisor.Restartable("quick", block))
			_ = sup.Shutdown(context.Background())
		}, "grace_exceeded", "orders", "flight_test.TestTriggers", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			kind := name
			if name == "fatal" {
				kind = "gave_up"
			}
			opts := []flightsub.Option{}
			if name == "grace_exceeded" { // the abandonment of its body is another
				opts = append(opts, flightsub.WithTriggers(flightsub.GraceExceeded))
			} else if name == "abandoned" {
				opts = append(opts, flightsub.WithTriggers(flightsub.Abandoned))
			}
			r := newRecorder(t, opts...)
			running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
				c.cause(t, sup)
				d, stacks := only(t, r)
				if d.Version != 1 || d.Kind != kind || d.Supervisor != "shop" || d.Event.Kind != c.event || !strings.Contains(d.Event.Error, c.text) || d.GoVersion == "" {
					t.Errorf("%+v", d)
				}
				if c.stack == "" && stacks != "" || !strings.Contains(stacks, c.stack) {
					t.Errorf("stacks %q", stacks)
				}
				if kind != "grace_exceeded" && (d.Task != "orders" || len(d.LastEvents) == 0 || d.LastEvents[0].Kind != "task_added") {
					t.Errorf("task %q, last events %+v", d.Task, d.LastEvents)
				}
				if c.state == "" && d.Status != nil || c.state != "" && (d.Status == nil || d.Status.State != c.state || d.Status.Stack != "") {
					t.Errorf("status %+v", d.Status)
				}
				if !strings.Contains(d.Policy, c.policy) {
					t.Errorf("policy %q", d.Policy)
				}
				if d.Trace != "no flight recorder was given" {
					t.Errorf("trace: %s", d.Trace)
				}
			}, taskvisor.WithGrace(30*time.Second))
		})
	}
}

// TestGraceExceededNamesAll that were left running, with their stacks.
func TestGraceExceededNamesAll(t *testing.T) {
	r := newRecorder(t, flightsub.WithTriggers(flightsub.GraceExceeded))
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("one", deaf(time.Hour)), taskvisor.Restartable("two", deaf(time.Hour)))
		_ = sup.Shutdown(context.Background())
		d, stacks := only(t, r)
		if len(d.Running) != 2 || d.Running[0].Name != "one" || strings.Count(stacks, "attempt 1:") != 2 || d.Task != "" {
			t.Errorf("%+v\n%s", d.Running, stacks)
		}
	})
}

// TestGraceExceededIsNotRationed: it comes last, behind one for each body that hangs, and
// may come again when the supervisor is made anew within the same minute.
func TestGraceExceededIsNotRationed(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		for life := range 2 {
			if life > 0 {
				var err error
				if sup, err = taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(r)); err != nil {
					t.Fatal(err)
				}
				if err := sup.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 20 {
				add(t, sup, taskvisor.Restartable(fmt.Sprint("hangs", i), deaf(time.Hour)))
			}
			_ = sup.Shutdown(context.Background())
			list := r.List()
			if d, _ := read(t, r, list[0].ID); d.Kind != "grace_exceeded" || len(d.Running) != 20 {
				t.Errorf("life %d: the last of %d is %s of %d", life, len(list), d.Kind, len(d.Running))
			}
		}
	})
}

// TestGaveUpTellsTheWholeStory of a task that is gone when its incident is written.
func TestGaveUpTellsTheWholeStory(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		cause := fmt.Errorf("charge: %w", errors.Join(errBoom, fmt.Errorf("retry: %w", context.DeadlineExceeded)))
		add(t, sup, taskvisor.Restartable("orders", func(context.Context) error { return cause }, taskvisor.WithMaxRetries(30), taskvisor.ConstantBackoff(time.Second)))
		later(time.Minute)
		d, _ := only(t, r)
		if n := len(d.LastEvents); n != 16 || d.LastEvents[n-1].Kind != "actor_exhausted" || d.LastEvents[n-2].Attempt != 31 || !strings.HasPrefix(d.LastEvents[n-2].Error, "charge: ") {
			t.Errorf("last events %+v", d.LastEvents)
		}
		root := d.Error
		if root == nil || root.Type != "*fmt.wrapError" || len(root.Causes) != 1 || len(root.Causes[0].Causes) != 2 || root.Causes[0].Causes[1].Causes[0].Text != "context deadline exceeded" {
			t.Errorf("tree %+v", root)
		}
		if d.Ended != nil && d.Ended.Outcome != "failed" || !strings.Contains(d.Policy, "30") {
			t.Errorf("%+v %s", d.Ended, d.Policy)
		}
	})
}

// TestTheFirstFailureIsTheLast: the policy of a task that is gone as soon as anything is
// known of it stands in its incident, however many there are at once.
func TestTheFirstFailureIsTheLast(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		for _, spec := range []taskvisor.TaskSpec{
			taskvisor.Once("once", fail, taskvisor.WithTimeout(11*time.Second)),
			taskvisor.Once("panics", panics, taskvisor.WithTimeout(12*time.Second)),
			taskvisor.Restartable("fatal", func(context.Context) error { return taskvisor.Fatal(errBoom) }, taskvisor.WithTimeout(13*time.Second)),
			taskvisor.Periodic("no retries", time.Hour, fail, taskvisor.WithMaxRetries(0), taskvisor.WithTimeout(14*time.Second)),
		} {
			add(t, sup, spec)
		}
		hold := make(chan struct{})
		if _, err := sup.AddAll(t.Context(),
			taskvisor.Once("base", func(context.Context) error { <-hold; return taskvisor.ErrCanceled }),
			taskvisor.Once("on it", fail, taskvisor.After("base"), taskvisor.WithTimeout(15*time.Second))); err != nil {
			t.Fatal(err)
		}
		close(hold)
		later(0)
		list := r.List()
		if len(list) != 5 {
			t.Fatalf("%+v", list)
		}
		for i, want := range []string{"on it: restart never", "no retries: restart always", "fatal: restart on_failure", "panics: restart never", "once: restart never"} {
			d, _ := read(t, r, list[i].ID)
			if limit := fmt.Sprintf("timeout %ds", 15-i); !strings.HasPrefix(d.Policy, want) || !strings.Contains(d.Policy, limit) {
				t.Errorf("policy %q, want %q with %s", d.Policy, want, limit)
			}
		}
	})
}

// TestSilenceIsSaidOnce, when the limit has passed, and not again when the body is back.
func TestSilenceIsSaidOnce(t *testing.T) {
	for name, c := range map[string]struct {
		opts  []taskvisor.TaskOption
		event string // "": no incident
	}{
		"silence":              {[]taskvisor.TaskOption{taskvisor.WithIdleTimeout(time.Second)}, "timeout_hit"},
		"silence, and a limit": {[]taskvisor.TaskOption{taskvisor.WithIdleTimeout(time.Second), taskvisor.WithTimeout(time.Minute)}, "timeout_hit"},
		"a limit":              {[]taskvisor.TaskOption{taskvisor.WithTimeout(time.Second)}, ""},
		"a limit, sooner":      {[]taskvisor.TaskOption{taskvisor.WithTimeout(time.Second), taskvisor.WithIdleTimeout(time.Minute)}, ""},
		"two limits alike":     {[]taskvisor.TaskOption{taskvisor.WithTimeout(time.Second), taskvisor.WithIdleTimeout(time.Second)}, ""},
	} {
		r := newRecorder(t, flightsub.WithRate(0, 1))
		running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Restartable("orders", block, append(c.opts, taskvisor.ConstantBackoff(time.Hour))...))
			later(2 * time.Second)
			if c.event == "" {
				if list := r.List(); len(list) > 0 {
					t.Errorf("%s: %+v", name, list)
				}
				return
			}
			if d, _ := only(t, r); d.Kind != "idle_timeout" || d.Event.Kind != c.event || d.Task != "orders" {
				t.Errorf("%s: %+v", name, d)
			}
		})
	}
}

// TestNothingLeavesAnIncident that goes well, or is an ordinary failure.
func TestNothingLeavesAnIncident(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		h := add(t, sup, taskvisor.Restartable("a", fail, taskvisor.ConstantBackoff(time.Minute)), taskvisor.Periodic("b", time.Minute, func(context.Context) error { return nil }),
			taskvisor.Restartable("c", block, taskvisor.WithTimeout(time.Minute)), taskvisor.Once("d", func(context.Context) error { return nil }),
			taskvisor.Once("e", func(context.Context) error { return taskvisor.ErrCanceled }), taskvisor.Restartable("f", block),
			taskvisor.Restartable("g", block, taskvisor.WithTimeout(time.Minute), taskvisor.WithIdleTimeout(time.Hour)))
		later(10 * time.Minute)
		h[5].Stop()
		later(time.Minute)
		if list := r.List(); len(list) > 0 {
			t.Errorf("%+v", list)
		}
	})
}

// TestTriggersAreChosen.
func TestTriggersAreChosen(t *testing.T) {
	r := newRecorder(t, flightsub.WithTriggers(flightsub.GaveUp))
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("a", panics, taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(time.Second)))
		later(500 * time.Millisecond)
		if list := r.List(); len(list) > 0 {
			t.Errorf("%+v", list)
		}
		later(time.Second)
		if d, _ := only(t, r); d.Kind != "gave_up" {
			t.Errorf("%+v", d)
		}
	})
}

// nasty is an error whose methods are of no use.
type nasty struct{ how string }

func (n *nasty) Error() string {
	if n.how == "panic" {
		panic("no text")
	}
	return strings.Repeat("x", 1<<20)
}

func (n *nasty) Unwrap() []error {
	switch n.how {
	case "panic":
		panic("no tree")
	case "circle":
		return []error{n, n, n}
	}
	return nil
}

// TestNastyErrors: trees that are wide, deep or a circle, and methods that panic, make a
// bounded incident.
func TestNastyErrors(t *testing.T) {
	deep := errBoom
	for i := range 1000 {
		deep = fmt.Errorf("%d: %w", i, deep)
	}
	for name, err := range map[string]error{"panic": &nasty{"panic"}, "circle": &nasty{"circle"}, "long": &nasty{"long"}, "deep": deep, "nil inside": errors.Join(nil, errBoom)} {
		r := newRecorder(t)
		running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
			if name == "panic" || name == "circle" { // too much for errors.Is, which looks at what bodies return
				r.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.ActorDead, Outcome: taskvisor.OutcomeFatal, Err: err, Supervisor: "shop"})
			} else {
				add(t, sup, taskvisor.Once("orders", func(context.Context) error { return err }))
			}
			d, _ := only(t, r)
			n, depth := size(d.Error)
			if n < 1 || n > 64 || depth > 16 || len(d.Event.Error) > 5000 {
				t.Errorf("%s: %d errors, %d deep, text of %d", name, n, depth, len(d.Event.Error))
			}
			if name == "panic" && !strings.Contains(d.Event.Error, "it panicked") {
				t.Errorf("%s", d.Event.Error)
			}
		})
	}
}

func size(t *tree) (n, depth int) {
	if t == nil {
		return 0, 0
	}
	n = 1
	for _, c := range t.Causes {
		m, d := size(c)
		n, depth = n+m, max(depth, d)
	}
	return n, depth + 1
}

// TestErrorFormatter: what must not be shown is nowhere in an incident.
func TestErrorFormatter(t *testing.T) {
	const secret = "hunter2"
	for name, format := range map[string]func(error) string{
		"removes": func(err error) string { return strings.ReplaceAll(err.Error(), secret, "***") },
		"panics":  func(error) string { panic("no") },
	} {
		r := newRecorder(t, flightsub.WithErrorFormatter(format))
		running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
			n := 0
			add(t, sup, taskvisor.Restartable("orders", func(context.Context) error {
				if n++; n < 3 {
					return fmt.Errorf("dial: %w", errors.New("password "+secret))
				}
				panic(fmt.Errorf("again: %w", errors.New("password "+secret)))
			}, taskvisor.ConstantBackoff(time.Second)))
			add(t, sup, taskvisor.Once("billing", func(context.Context) error { return errors.New(secret) }))
			r.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskStuck, Supervisor: "shop", Task: "stack", Time: time.Now(), Stack: "main.f(" + secret + ")"})
			later(time.Minute)
			if list := r.List(); len(list) != 3 {
				t.Fatalf("%s: %+v", name, list)
			}
			for _, in := range r.List() {
				for part, text := range parts(t, r, in.ID) {
					if strings.Contains(text, secret) {
						t.Errorf("%s: %s of %s has it:\n%s", name, part, in.Task, text)
					}
				}
			}
		})
	}
}
