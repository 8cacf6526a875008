package healthsub_test

import (
	"context"
	"testing"
	"testing/synctest"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// another makes a supervisor for the same Health.
func (r *rig) another(name string) (*taskvisor.Supervisor, error) {
	return taskvisor.New(taskvisor.WithName(name), taskvisor.WithSubscriber(r.health))
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
