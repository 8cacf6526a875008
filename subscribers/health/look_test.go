package healthsub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// counting counts how often a Health reads a whole snapshot.
type counting struct {
	*healthsub.Health
	read int
}

func (c *counting) Attach(snapshot func() taskvisor.Snapshot) error {
	return c.Health.Attach(func() taskvisor.Snapshot { c.read++; return snapshot() })
}

// TestProbesLookAtWhatMatters: a whole snapshot is read when a task begins to matter or
// ceases to be there, and not for a probe between.
func TestProbesLookAtWhatMatters(t *testing.T) {
	c := &counting{Health: healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))}
	bubble(t, healthsub.New(), func(r *rig) {
		if err := r.sup.Start(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		var well atomic.Bool
		flaky := func(context.Context) error {
			if !well.Load() {
				return errBoom
			}
			return nil
		}
		steps := []struct {
			what string
			do   func()
			read int
		}{
			{"orders is added", func() { r.add(taskvisor.Restartable("orders", block)) }, 1},
			{"nothing", func() { later(time.Hour) }, 0},
			{"jobs come and go", func() { r.add(taskvisor.Once("job", succeed)); r.add(taskvisor.Once("job", succeed)) }, 0},
			{"one fails twice", func() {
				r.add(taskvisor.Restartable("flaky", flaky, taskvisor.RestartAlways(time.Hour), taskvisor.ConstantBackoff(time.Minute)))
				later(time.Minute)
			}, 0},
			{"and once more", func() { later(time.Minute) }, 1},
			{"and more", func() { later(10 * time.Minute) }, 0},
			{"and recovers", func() { well.Store(true); later(time.Minute) }, 0},
			{"an essential task is added", func() { r.add(taskvisor.Restartable("essential", block, taskvisor.WithEssential())) }, 1},
			{"one is paused", func() { h, _ := r.sup.Lookup("flaky"); h.Pause(nil); later(0) }, 1},
			{"nothing", func() {}, 0},
			{"and goes on", func() { h, _ := r.sup.Lookup("flaky"); h.Resume(nil); later(0) }, 1},
			{"nothing", func() {}, 0},
		}
		c.Status()
		for _, s := range steps {
			before := c.read
			s.do()
			for range 3 {
				c.Status()
			}
			if c.read-before != s.read {
				r.t.Errorf("%s: %d snapshots were read, want %d", s.what, c.read-before, s.read)
			}
		}
	}, taskvisor.WithSubscriber(c))
}

// TestStuckAgain: a body that hangs is not judged by how long another has, an hour ago.
func TestStuckAgain(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	running(t, health, func(r *rig) {
		hangs := func(name string, d time.Duration) {
			r.add(taskvisor.Restartable(name, deaf(20*time.Second), taskvisor.RestartAlways(time.Hour), taskvisor.ConstantBackoff(time.Hour), taskvisor.WithTimeout(d)))
		}
		hangs("import", 900*time.Millisecond) // so that the stacks of the other are awaited for a while
		hangs("orders", time.Second)
		later(time.Hour)
		seen := false
		for now := range 1200 {
			st := health.Status()
			if !st.Live {
				r.t.Fatalf("after %d times 100 ms: %+v", now, st)
			}
			for _, why := range st.Reasons {
				seen = seen || why.Task == "orders" && why.Problem == healthsub.Stuck
			}
			later(100 * time.Millisecond)
		}
		if !seen {
			r.t.Error("it was not stuck again")
		}
	})
}

// lossy is a Health that is never told of a body that hangs.
type lossy struct{ *healthsub.Health }

func (l lossy) OnEvent(ctx context.Context, e taskvisor.Event) {
	if e.Kind == taskvisor.TaskStuck {
		e = taskvisor.Event{Kind: taskvisor.SubscriberOverflow, Supervisor: e.Supervisor}
	}
	l.Health.OnEvent(ctx, e)
}

// TestLostEvents: what was not heard of is found all the same.
func TestLostEvents(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	bubble(t, healthsub.New(), func(r *rig) {
		if err := r.sup.Start(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.add(taskvisor.Restartable("import", deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
		r.add(taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
		var unlive time.Duration
		for ; health.Status().Live && unlive < time.Minute; unlive += time.Second {
			later(time.Second)
		}
		if unlive < 31*time.Second || unlive > 40*time.Second {
			r.t.Errorf("not live after %s", unlive)
		}
		if st := health.Status(); len(st.Reasons) != 2 {
			r.t.Errorf("%+v", st)
		}
	}, taskvisor.WithSubscriber(lossy{health}))
}

// TestLookAndReadingAgree: whatever happens to the tasks, a probe says the same as one
// that reads them all.
func TestLookAndReadingAgree(t *testing.T) {
	for seed := range uint64(20) {
		level := healthsub.WithLevelFunc(func(name, _ string) healthsub.Level {
			return healthsub.Level(name[len(name)-1] - '0')
		})
		look, whole := &counting{Health: healthsub.New(level)}, healthsub.New(level)
		bubble(t, healthsub.New(), func(r *rig) {
			if err := r.sup.Start(context.Background()); err != nil {
				r.t.Fatal(err)
			}
			rnd := rand.New(rand.NewPCG(seed, 1))
			for step := range 300 {
				r.something(rnd)
				later(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				got := look.Status()
				whole.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.ShutdownRequested}) // it has to read all
				if want := whole.Status(); !reflect.DeepEqual(got, want) {
					r.t.Fatalf("seed %d, step %d: %+v\nwant %+v", seed, step, got, want)
				}
			}
			if look.read > 250 {
				r.t.Errorf("seed %d: %d of 300 probes read everything", seed, look.read)
			}
		}, taskvisor.WithSubscriber(look), taskvisor.WithSubscriber(whole))
	}
}

// something happens to one of the tasks, of which every third has each of the levels.
func (r *rig) something(rnd *rand.Rand) {
	name := fmt.Sprintf("task %d of level %d", rnd.IntN(8), rnd.IntN(4))
	h, ok := r.sup.Lookup(name)
	if !ok {
		opts := []taskvisor.TaskOption{taskvisor.ConstantBackoff(time.Second), taskvisor.WithGrace(5 * time.Second), taskvisor.WithTimeout(4 * time.Second)}
		if rnd.IntN(3) == 0 {
			opts = append(opts, taskvisor.WithReadiness())
		}
		if rnd.IntN(3) == 0 {
			opts = append(opts, taskvisor.WithMaxRetries(4))
		}
		if rnd.IntN(4) == 0 {
			opts = append(opts, taskvisor.WithReleaseOnAbandon())
		}
		seed := rnd.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 2))
		r.add(taskvisor.Restartable(name, func(ctx context.Context) error {
			switch rnd.IntN(8) {
			case 0:
				taskvisor.Ready(ctx)
			case 1:
				time.Sleep(time.Minute) // deaf to its context
			case 2:
				return nil
			case 3:
				<-ctx.Done()
			default:
				return errBoom
			}
			return ctx.Err()
		}, append(opts, taskvisor.RestartAlways(time.Second))...))
		return
	}
	switch rnd.IntN(6) {
	case 0:
		h.Stop()
	case 1:
		h.Pause(nil)
	case 2, 3:
		h.Resume(nil)
	case 4:
		h.Interrupt(nil)
	case 5:
		h.RunNow(nil)
	}
}
