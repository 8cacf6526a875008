package healthsub_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// another makes a supervisor for the same Health.
func (r *rig) another(name string, more ...taskvisor.Subscribe) (*taskvisor.Supervisor, error) {
	opts := []taskvisor.Option{taskvisor.WithName(name), taskvisor.WithSubscriber(r.health)}
	for _, sub := range more {
		opts = append(opts, taskvisor.WithSubscriber(sub))
	}
	return taskvisor.New(opts...)
}

// begin makes another and starts it.
func (r *rig) begin(name string) *taskvisor.Supervisor {
	r.t.Helper()
	sup, err := r.another(name)
	if err == nil {
		err = sup.Start(context.Background())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return sup
}

// TestSecondLife: a supervisor that is made anew does not have the tasks that the one
// before it had, made after the end of that one or before it.
func TestSecondLife(t *testing.T) {
	for name, overlap := range map[string]bool{"one after the other": false, "made ahead": true} {
		health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders", "job"))
		bubble(t, health, func(r *rig) {
			sup := r.sup
			r.start()
			for life := range 3 {
				r.want(503, 200, "orders: not added yet", "job: not added yet")
				for _, spec := range []taskvisor.TaskSpec{taskvisor.Restartable("orders", block), taskvisor.Once("job", succeed)} {
					if _, err := sup.Add(context.Background(), spec); err != nil {
						r.t.Fatal(err)
					}
				}
				synctest.Wait()
				r.want(200, 200)
				var next *taskvisor.Supervisor
				if overlap {
					next = r.begin("shop")
					r.want(200, 200) // they are there, in the other
				}
				if err := sup.Shutdown(context.Background()); err != nil {
					r.t.Fatal(name, life, err)
				}
				if !overlap {
					next = r.begin("shop")
				}
				sup = next
			}
			if err := sup.Shutdown(context.Background()); err != nil {
				r.t.Fatal(err)
			}
		})
	}
}

// refuses is a subscriber that cannot be attached.
type refuses struct{}

func (refuses) OnEvent(context.Context, taskvisor.Event) {}
func (refuses) Attach(func() taskvisor.Snapshot) error   { return errBoom }

// TestNewFails: nobody waits for the start of a supervisor that could not be made; others,
// of its name too, are what they were.
func TestNewFails(t *testing.T) {
	running(t, healthsub.New(), func(r *rig) {
		fails := func() {
			r.t.Helper()
			for _, name := range []string{"other", "shop"} {
				if _, err := r.another(name, refuses{}); err == nil {
					r.t.Fatal("nobody refused")
				}
			}
		}
		fails()
		r.want(200, 200)
		third, err := r.another("third")
		if err != nil {
			r.t.Fatal(err)
		}
		fails()
		r.want(503, 200, "not ready\nthird: not started")
		if err := third.Start(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.want(200, 200)
		fails()
		if err := r.sup.Shutdown(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.want(503, 200, "shop: ended")
		_ = third.Shutdown(context.Background())
	})
}

// TestClosedTooSoon: a supervisor that begins all the same is seen again.
func TestClosedTooSoon(t *testing.T) {
	bubble(t, healthsub.New(), func(r *rig) {
		r.health.Close()
		r.health.Close()
		r.want(503, 200, "no supervisor")
		r.start()
		r.want(200, 200)
		r.health.Close()
		r.want(200, 200)
		late := r.begin("late")
		r.health.Close()
		_ = late.Shutdown(context.Background())
		later(time.Second)
		r.want(503, 200, "late: ended")
	})
}
