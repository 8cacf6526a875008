package lease_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// choosy is a store that renews each lease by itself, and not those of some keys.
type choosy struct {
	*leasetest.Conn

	mu      sync.Mutex // guards the fields below
	refused map[string]bool
	asked   map[string]int // how often, by key
}

var errRefused = errors.New("a webhook says no")

func (c *choosy) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	some, e := maps.Clone(held), &lease.RenewError{Err: errRefused}
	c.mu.Lock()
	for key := range held {
		c.asked[key]++
		if c.refused[key] {
			delete(some, key)
			e.Keys = append(e.Keys, key)
		}
	}
	c.mu.Unlock()
	lost, err := c.Conn.Renew(ctx, owner, some, ttl)
	if err != nil || len(e.Keys) == 0 {
		return lost, err
	}
	return lost, fmt.Errorf("wrapped: %w", e)
}

// set has the renewals of these keys refused, and returns how often each was asked for
// since the last time.
func (c *choosy) set(keys ...string) (asked map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = make(map[string]bool)
	for _, key := range keys {
		c.refused["taskvisor/"+key] = true
	}
	asked, c.asked = c.asked, make(map[string]int)
	return asked
}

func sum(asked map[string]int) (n int) {
	for _, times := range asked {
		n += times
	}
	return n
}

// A lease that the engine does not renew is lost, and takes none of the others along; these
// are asked for as often as before, and all together less than twice as often.
func TestOneRefusedOfMany(t *testing.T) {
	inFleet(t, 0, func(t *testing.T, f *fleet) {
		r := &replica{f: f, name: "choosy", conn: f.engine.Connect()}
		store := &choosy{Conn: r.conn}
		store.set()
		r.owner = r.newOwner(store)
		r.sup, r.rec = taskvisortest.Start(t, taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin))
		f.all = append(f.all, r)
		for i := range 5 {
			r.add(fmt.Sprint("job-", i), 0)
		}
		time.Sleep(3 * ttl)
		before := sum(store.set("job-3"))
		time.Sleep(3 * ttl)
		asked := store.set()
		lost := r.saw(lease.Lost)
		if len(lost) == 0 {
			t.Fatal("nothing is lost")
		}
		for _, e := range lost {
			if e.Key != "job-3" || e.Reason != lease.LostDeadline {
				t.Errorf("lost %q: %s", e.Key, e.Reason)
			}
		}
		if n := sum(asked); n >= before*2 || asked["taskvisor/job-0"] > before/5+2 {
			t.Errorf("asked for %v, and %d in the same time before", asked, before)
		}
		failed := r.saw(lease.RenewFailed)
		if len(failed) == 0 || len(failed) > len(lost)+1 || !errors.Is(failed[0].Err, errRefused) {
			t.Errorf("%d times said that renewals fail, of %d losses: %v", len(failed), len(lost), failed)
		}
		time.Sleep(ttl / 2) // it is had again, and kept
		n := len(r.saw(lease.Lost))
		time.Sleep(2 * ttl)
		if more := len(r.saw(lease.Lost)) - n; more != 0 || len(f.witness.Running("job-3")) != 1 {
			t.Errorf("%d losses more; job-3 runs in %q", more, f.witness.Running("job-3"))
		}
	})
}

// A refusal that does not last costs nothing, also if it is of all leases.
func TestShortRefusals(t *testing.T) {
	for name, refused := range map[string][]string{"one": {"a"}, "all": {"a", "b", "c", "d", "e"}} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 0, func(t *testing.T, f *fleet) {
				r := &replica{f: f, name: "choosy", conn: f.engine.Connect()}
				store := &choosy{Conn: r.conn}
				store.set()
				r.owner = r.newOwner(store)
				r.sup, r.rec = taskvisortest.Start(t, taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin))
				f.all = append(f.all, r)
				for _, key := range []string{"a", "b", "c", "d", "e"} {
					r.add(key, 0)
				}
				for range 10 {
					time.Sleep(ttl)
					store.set(refused...)
					time.Sleep(ttl * 2 / 5)
					store.set()
				}
				if lost := r.saw(lease.Lost); len(lost) != 0 {
					t.Errorf("lost %v", lost)
				}
			})
		})
	}
}
