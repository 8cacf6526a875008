package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// notes is an observer that keeps what it is told.
type notes struct {
	mu  sync.Mutex // guards the field below
	all []lease.Event
}

func (n *notes) tell(e lease.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, e)
}

func (n *notes) of(kind lease.EventKind) (list []lease.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.all {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// Several observers are told, each until it is stopped, what task and supervisor an event
// is about, and of each renewal with what was left then.
func TestObserve(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		var kept, brief notes
		stop := r.owner.Observe(brief.tell)
		defer r.owner.Observe(kept.tell)()
		h := r.add("job", 0)
		time.Sleep(ttl)
		stop()
		stop()                    // may be called again
		time.Sleep(ttl + fifth/2) // between two renewals
		h.Stop()
		time.Sleep(time.Second)

		acquired := kept.of(lease.Acquired)
		if len(acquired) != 1 || acquired[0].Task != "job" || acquired[0].Supervisor != r.name || acquired[0].Key != "job" {
			t.Errorf("acquired: %+v", acquired)
		}
		if released := kept.of(lease.Released); len(released) != 1 || released[0].Task != "job" || released[0].Supervisor != r.name || released[0].Took != 2*ttl+fifth/2 {
			t.Errorf("released: %+v", released)
		}
		renewed := kept.of(lease.Renewed)
		if n := len(renewed); n < 9 || n > 11 {
			t.Errorf("%d renewals were told of in two ttl, which are renewed every fifth", n)
		}
		for _, e := range renewed {
			// Three quarters of the ttl less the fifth that has passed.
			if want := ttl*3/4 - ttl/5; e.Margin != want || e.Took != 0 || e.Owner != r.name || e.Level() != slog.LevelDebug {
				t.Errorf("renewed: %+v, want %s left", e, want)
			}
		}
		if n := len(brief.of(lease.Renewed)); n < 4 || n > 5 {
			t.Errorf("%d renewals were told of until the observer was stopped", n)
		}
		if n := len(brief.of(lease.Released)); n != 0 {
			t.Errorf("%d releases were told of after it was stopped", n)
		}
		if n := len(r.saw(lease.Renewed)); n != len(renewed) {
			t.Errorf("the first observer was told of %d renewals, the other of %d", n, len(renewed))
		}
	})
}

// An observer that takes its time, as a log that is written to a full pipe does, keeps no
// body running whose lease is lost.
func TestSlowObserver(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		r := f.all[0]
		defer r.owner.Observe(func(e lease.Event) {
			if e.Kind == lease.Lost {
				time.Sleep(ttl)
			}
		})()
		r.add("job", 0)
		f.runner("job", nil, time.Second)
		f.all[1].add("job", 0)
		synctest.Wait()
		r.conn.Cut(true)
		f.runner("job", r, ttl+slack)
		time.Sleep(3 * ttl)
		r.conn.Cut(false)
		if n := len(r.saw(lease.Overrun)); n != 0 {
			t.Errorf("%d overruns", n)
		}
	})
}

// A slow engine shows in the renewals before anything is lost.
func TestMarginOfSlowRenewals(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		var seen notes
		defer r.owner.Observe(seen.tell)()
		r.add("job", 0)
		time.Sleep(ttl)
		const late = ttl / 5
		r.conn.Delay(late)
		time.Sleep(4 * ttl)
		renewed := seen.of(lease.Renewed)
		last := renewed[len(renewed)-1]
		if want := ttl*3/4 - ttl/5 - late; last.Took != late || last.Margin != want {
			t.Errorf("renewed within %s, %s left; want %s, %s", last.Took, last.Margin, late, want)
		}
		if lost := seen.of(lease.Lost); len(lost) != 0 {
			t.Errorf("lost: %+v", lost)
		}
		r.conn.Delay(0)
	})
}

// An attempt knows its lease, and how long it has waited for it: the standby since it was
// last resumed, the next attempt not at all.
func TestTerm(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		var mu sync.Mutex
		terms := map[string][]lease.Term{}
		handles := map[string]*taskvisor.Handle{}
		for _, r := range f.all {
			handles[r.name] = r.addSpec(taskvisor.Restartable("job", func(ctx context.Context) error {
				term, ok := lease.TermOf(ctx)
				if token, _ := lease.Token(ctx); !ok || token != term.Token {
					t.Errorf("token %d, term %+v", token, term)
				}
				mu.Lock()
				terms[r.name] = append(terms[r.name], term)
				mu.Unlock()
				<-ctx.Done()
				return ctx.Err()
			}, r.owner.Singleton("job")))
			time.Sleep(time.Second)
		}
		handles["r1"].Pause(nil)
		time.Sleep(time.Second)
		handles["r1"].Resume(nil) // a pause is no wait
		handles["r0"].Interrupt(errors.New("again"))
		time.Sleep(time.Second)
		handles["r0"].Stop()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		first, second := terms["r0"], terms["r1"]
		if len(first) != 2 || first[0] != first[1] || first[0].Wait != 0 || first[0].Key != "job" {
			t.Errorf("terms of the first: %+v", first)
		}
		if len(second) != 1 || second[0].Wait != time.Second || second[0].Token <= first[0].Token {
			t.Errorf("terms of the second: %+v", second)
		}
		if _, ok := lease.TermOf(t.Context()); ok {
			t.Error("a term without a lease")
		}
	})
}

// Status says what each lease is for, and which tasks want it.
func TestStatusOfEachMode(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		single := r.add("single", 0)
		key := func(string) taskvisor.TaskSpec { return taskvisor.Restartable("of k", r.body("k", 0)) }
		keys := func(context.Context) ([]string, error) { return []string{"k"}, nil }
		r.addSpec(taskvisor.Restartable("sharding", func(ctx context.Context) error { return r.owner.Shard(ctx, r.sup, keys, key) }))
		slot, err := r.owner.Slot(t.Context(), r.sup, taskvisor.Submission{Task: taskvisor.Once("submitted", r.body("s", 0)), Slot: "s"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl)
		shard, ok := r.sup.Lookup("of k")
		if !ok {
			t.Fatal("the key's task is not there")
		}
		want := map[lease.Mode]taskvisor.TaskID{
			lease.ModeSingleton: single.ID(), lease.ModeShard: shard.ID(), lease.ModeSlot: slot.ID(), lease.ModePresence: 0,
		}
		all := r.owner.Status()
		if len(all) != len(want) {
			t.Errorf("%d leases, want %d", len(all), len(want))
		}
		for _, st := range all {
			var ids []taskvisor.TaskID
			if want[st.Mode] != 0 {
				ids = []taskvisor.TaskID{want[st.Mode]}
			}
			if st.State != lease.Held || !slices.Equal(st.IDs, ids) {
				t.Errorf("%s %q is %s, of the tasks %v, want %v", st.Mode, st.Key, st.State, st.IDs, ids)
			}
		}
	})
}
