package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// holder is a body that only holds, so that a thousand of them cost little.
func (r *replica) holder(key string) taskvisor.TaskSpec {
	return taskvisor.Restartable("shard "+key, func(ctx context.Context) error {
		token, _ := lease.Token(ctx)
		defer r.f.witness.Begin(key, r.name, token)()
		<-ctx.Done()
		return ctx.Err()
	}, taskvisor.WithKind("shard"))
}

func numbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("key ", i))
	}
	return keys
}

// shard runs Shard as a task of the replica.
func (r *replica) shard(keys func(context.Context) ([]string, error)) *taskvisor.Handle {
	return r.addSpec(taskvisor.Restartable("shards", func(ctx context.Context) error {
		return r.owner.Shard(ctx, r.sup, keys, r.holder)
	}))
}

// spread counts the keys that run, by replica.
func (f *fleet) spread(keys []string) (counts map[string]int, none int) {
	counts = map[string]int{}
	for _, key := range keys {
		names := f.witness.Running(key)
		if len(names) == 0 {
			none++
		}
		for _, n := range names {
			counts[n]++
		}
	}
	return counts, none
}

// allRun waits until every key runs.
func (f *fleet) allRun(keys []string, limit time.Duration) time.Duration {
	f.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		counts, none := f.spread(keys)
		if none == 0 {
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			f.t.Fatalf("after %s %d keys do not run: %v", limit, none, counts)
		}
	}
}

func fixed(keys []string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return keys, nil }
}

// keyList is a list of keys that changes.
type keyList struct {
	mu   sync.Mutex
	keys []string
	err  error
}

func (l *keyList) set(keys []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys, l.err = keys, err
}

func (l *keyList) get(context.Context) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keys, l.err
}

// Three replicas share the keys about evenly; one that joins takes its share and no key
// moves between the others; one that goes leaves its share to the others.
func TestShard(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		keys := numbered(300)
		for _, r := range f.all {
			r.shard(fixed(keys))
		}
		f.allRun(keys, slack)
		time.Sleep(10 * ttl)
		before, _ := f.spread(keys)
		for name, n := range before {
			if n < 60 || n > 140 {
				t.Errorf("%s has %d of 300", name, n)
			}
		}
		was := map[string]string{}
		for _, key := range keys {
			was[key] = f.witness.Running(key)[0]
		}
		f.join().shard(fixed(keys))
		time.Sleep(20 * ttl)
		moved := 0
		for _, key := range keys {
			now := f.witness.Running(key)
			switch {
			case len(now) != 1:
				t.Errorf("%s runs in %v", key, now)
			case now[0] != was[key]:
				moved++
				if now[0] != "r3" {
					t.Errorf("%s moved from %s to %s", key, was[key], now[0])
				}
			}
		}
		if moved < 40 || moved > 120 {
			t.Errorf("%d of 300 moved", moved)
		}
		go func() { _ = f.all[0].sup.Shutdown(context.Background()) }()
		time.Sleep(time.Millisecond)
		f.allRun(keys, slack)
	})
}

// Keys come and go; an error of the list leaves things as they are; a task that ends by
// itself is not run again.
func TestShardFollowsTheKeys(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		keys := numbered(20)
		var list keyList
		list.set(keys, nil)
		for _, r := range f.all {
			r.shard(list.get)
		}
		f.allRun(keys, slack)
		list.set(nil, errors.New("database is gone"))
		time.Sleep(2 * ttl)
		if n := len(f.all[0].saw(lease.KeysFailed)); n == 0 {
			t.Error("the error was not heard")
		}
		keys = numbered(30)[5:]
		list.set(keys, nil)
		time.Sleep(2 * ttl)
		if n := len(f.witness.Running("key 0")); n != 0 {
			t.Error("a key that has gone still runs")
		}
		f.allRun(keys, 0)
		r, _ := f.runner("key 29", nil, 0)
		h, _ := r.sup.Lookup("shard key 29")
		h.Stop()
		time.Sleep(5 * ttl)
		if n := len(f.witness.Running("key 29")); n != 0 {
			t.Error("a task that was stopped runs again")
		}
	})
}

// A replica that joins does not stop the work on everything that moves to it at the same
// time; keys that are gone are stopped all at once.
func TestShardMovesUnderABudget(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		const linger = 400 * time.Millisecond
		keys := numbered(100)
		var list keyList
		list.set(keys, nil)
		shard := func(r *replica) {
			r.addSpec(taskvisor.Restartable("shards", func(ctx context.Context) error {
				return r.owner.Shard(ctx, r.sup, list.get, func(key string) taskvisor.TaskSpec {
					return taskvisor.Restartable(key, r.body(key, linger))
				})
			}))
		}
		shard(f.all[0])
		shard(f.all[1])
		f.allRun(keys, slack)
		time.Sleep(10 * ttl)
		shard(f.join())
		most := 0
		for range 400 {
			time.Sleep(50 * time.Millisecond)
			most = max(most, f.all[0].sup.Count(taskvisor.StateStopping)+f.all[1].sup.Count(taskvisor.StateStopping))
		}
		if most < 4 || most > 14 {
			t.Errorf("%d of 100 were on their way at the same time", most)
		}
		if counts, _ := f.spread(keys); counts["r2"] < 15 {
			t.Errorf("%v", counts)
		}
		list.set(nil, nil)
		time.Sleep(2*time.Second + linger)
		if counts, none := f.spread(keys); none != len(keys) {
			t.Errorf("still %v", counts)
		}
	})
}

// Misuse ends Shard with an error.
func TestShardRefusals(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.owner.Shard(t.Context(), sup, fixed(nil), r.holder); err == nil {
			t.Error("a supervisor without the subscriber was accepted")
		}
		long := func(key string) taskvisor.TaskSpec { return r.holder(key).With(taskvisor.WithGrace(time.Hour)) }
		if err := r.owner.Shard(t.Context(), r.sup, fixed(numbered(3)), long); err == nil {
			t.Error("a grace of an hour was accepted")
		}
		if err := r.owner.Shard(t.Context(), r.sup, fixed([]string{""}), r.holder); err == nil {
			t.Error("an empty key was accepted")
		}
		h := r.shard(fixed(numbered(3)))
		time.Sleep(ttl)
		if err := r.owner.Shard(t.Context(), r.sup, fixed(nil), r.holder); err == nil {
			t.Error("a second Shard was accepted")
		}
		h.Stop()
		time.Sleep(ttl)
		if ls := r.owner.Status(); len(ls) != 0 {
			t.Errorf("left: %+v", ls)
		}
	})
}

// A thousand keys, and replicas that come, go and are cut off: never two bodies of a
// key, and everything runs within the ttl and the slack after the last fault.
func TestShardLaws(t *testing.T) {
	n, rounds := 1000, 3
	if testing.Short() {
		n, rounds = 100, 1
	}
	for seed := range rounds {
		inFleet(t, 3, func(t *testing.T, f *fleet) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 2))
			keys := numbered(n)
			for _, r := range f.all {
				r.shard(fixed(keys))
			}
			alive := slices.Clone(f.all)
			time.Sleep(ttl)
			for range 8 {
				i := rnd.IntN(len(alive))
				switch rnd.IntN(4) {
				case 0:
					r := f.join()
					r.shard(fixed(keys))
					alive = append(alive, r)
				case 1:
					if len(alive) > 2 {
						r := alive[i]
						alive = slices.Delete(alive, i, i+1)
						go func() { _ = r.sup.Shutdown(context.Background()) }()
					}
				case 2:
					alive[i].conn.Cut(true)
				case 3:
					alive[i].conn.LoseAnswers(20)
				}
				time.Sleep(time.Duration(rnd.Int64N(int64(2 * ttl))))
			}
			f.heal()
			t.Logf("seed %d: all run after %s", seed, f.allRun(keys, ttl+slack))
		})
	}
}
