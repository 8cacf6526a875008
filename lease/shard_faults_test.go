package lease_test

import (
	"context"
	"runtime"
	"testing"
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
					fail := ""
					once := func(here string) {
						if fail == here {
							fail = ""
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
					fail = where
					keys = numbered(40)
					list.set(keys, nil)
					time.Sleep(slack)
					if fail != "" {
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
