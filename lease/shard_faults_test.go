package lease_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A Shard whose keys or spec does not return stops its tasks and leaves nothing: its task
// begins anew, and has its share again.
func TestShardOutlivesItsCaller(t *testing.T) {
	for name, fault := range map[string]func(){"panic": func() { panic("once") }, "goexit": runtime.Goexit} {
		for _, where := range []string{"keys", "spec"} {
			t.Run(name+" in "+where, func(t *testing.T) {
				inFleet(t, 2, func(t *testing.T, f *fleet) {
					a, b := f.all[0], f.all[1]
					var list keyList
					keys := numbered(20)
					list.set(keys, nil)
					var fails atomic.Value // where
					fails.Store("")
					once := func(here string) {
						if fails.CompareAndSwap(here, "") {
							fault()
						}
					}
					h := a.addSpec(taskvisor.Restartable("shards", func(ctx context.Context) error {
						return a.owner.Shard(ctx, a.sup, func(ctx context.Context) ([]string, error) {
							once("keys")
							return list.get(ctx)
						}, func(key string) taskvisor.TaskSpec {
							once("spec")
							return a.holder(key)
						})
					}))
					b.shard(list.get)
					f.allRun(keys, slack)
					time.Sleep(2 * ttl)
					before, _ := f.spread(keys)
					fails.Store(where)
					keys = numbered(40)
					list.set(keys, nil)
					time.Sleep(slack)
					if fails.Load() != "" {
						t.Fatal("it did not fail")
					}
					f.allRun(keys, ttl+slack)
					time.Sleep(10 * ttl)
					if after, _ := f.spread(keys); after[a.name] <= before[a.name] || h.Status().Attempt != 2 {
						t.Errorf("keys before %v, after %v, attempt %d, last error %q", before, after, h.Status().Attempt, h.Status().LastError)
					}
					h.Stop()
					time.Sleep(ttl)
					if ls := a.owner.Status(); len(ls) != 0 {
						t.Errorf("left: %+v", ls)
					}
				})
			})
		}
	}
}

// A key whose former body outlives its grace waits for it, alone; a name that somebody
// else has is an error.
func TestShardWaitsForAnAbandonedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t}
		r := f.join()
		keys := numbered(5)
		var list keyList
		list.set(keys, nil)
		free := make(chan struct{})
		stuck := keys[0]
		h := r.addSpec(taskvisor.Restartable("shards", func(ctx context.Context) error {
			return r.owner.Shard(ctx, r.sup, list.get, func(key string) taskvisor.TaskSpec {
				work := r.holder(key)
				if key == stuck {
					stuck = ""
					return taskvisor.Restartable(work.Name(), func(context.Context) error {
						defer f.witness.Begin(key, r.name, 1)()
						<-free
						return nil
					})
				}
				return work
			})
		}))
		f.allRun(keys, slack)
		begun := len(f.engine.Grants())
		list.set(keys[1:], nil)
		time.Sleep(3 * ttl)
		list.set(keys, nil)
		time.Sleep(10 * ttl)
		if st := h.Status(); st.Attempt != 1 || len(f.engine.Grants()) != begun {
			t.Errorf("attempt %d, last error %q, %d leases more", st.Attempt, st.LastError, len(f.engine.Grants())-begun)
		}
		for _, e := range r.rec.Events() {
			if e.Kind == taskvisor.TaskAddFailed {
				t.Errorf("asked for in vain: %v", e)
			}
		}
		close(free)
		time.Sleep(slack)
		f.allRun(keys, 0)
		if n := len(f.engine.Grants()) - begun; n != 1 {
			t.Errorf("then %d leases were taken, not 1", n)
		}
		if _, err := r.sup.Add(t.Context(), r.holder("other")); err != nil {
			t.Fatal(err)
		}
		list.set(append(keys, "other"), nil)
		time.Sleep(slack)
		if st := h.Status(); !errors.Is(st.LastErr, taskvisor.ErrTaskExists) {
			t.Errorf("a name that is taken: %v", st.LastErr)
		}
		for _, v := range f.witness.Violations() {
			t.Error(v)
		}
	})
}
