package lease_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

const (
	ttl    = 4 * time.Second
	margin = ttl / 4
	slack  = 2 * time.Second // beyond the ttl, for a takeover
)

// fleet is some replicas of one program, with an engine.
type fleet struct {
	t       *testing.T
	engine  leasetest.Memory
	witness leasetest.Witness
	all     []*replica
}

type replica struct {
	f     *fleet
	name  string
	conn  *leasetest.Conn
	owner *lease.Owner
	sup   *taskvisor.Supervisor
	rec   *taskvisortest.Recorder

	mu     sync.Mutex
	events []lease.Event
}

// inFleet runs test in a bubble with n replicas, whose supervisors end with it.
func inFleet(t *testing.T, n int, test func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t}
		for range n {
			f.join()
		}
		test(t, f)
		for _, r := range f.all {
			if err := r.sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(3 * ttl) // requests that are on their way
		for _, r := range f.all {
			if left := r.owner.Status(); len(left) > 0 {
				t.Errorf("%s still has %+v", r.name, left)
			}
		}
		for _, v := range f.witness.Violations() {
			t.Error(v)
		}
	})
}

// join adds a replica.
func (f *fleet) join(opts ...taskvisor.Option) *replica {
	f.t.Helper()
	r := &replica{f: f, name: fmt.Sprint("r", len(f.all)), conn: f.engine.Connect()}
	r.owner = r.newOwner(r.conn)
	opts = append([]taskvisor.Option{taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin), taskvisor.WithName(r.name)}, opts...)
	r.sup, r.rec = taskvisortest.Start(f.t, opts...)
	f.all = append(f.all, r)
	return r
}

func (r *replica) newOwner(store lease.Store) *lease.Owner {
	o, err := lease.New(store, lease.WithID(r.name), lease.WithTTL(ttl), lease.WithObserver(r.observe))
	if err != nil {
		r.f.t.Fatal(err)
	}
	return o
}

func (r *replica) observe(e lease.Event) {
	if wrong := r.owner.Miscounted(); wrong != "" {
		r.f.t.Errorf("%s, at %s: %s", r.name, e.Kind, wrong)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// saw lists the events of the kinds, or all.
func (r *replica) saw(kinds ...lease.EventKind) (list []lease.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		for _, k := range kinds {
			if e.Kind == k {
				list = append(list, e)
			}
		}
	}
	return list
}

// body works until it is cancelled, writes all the while, and takes linger to return. It
// leaves its token as a note, and what it finds must be of an older one.
func (r *replica) body(key string, linger time.Duration) taskvisor.Func {
	return func(ctx context.Context) error {
		term, ok := lease.TermOf(ctx)
		token := term.Token
		if !ok {
			r.f.t.Errorf("%s: an attempt without a token", r.name)
		}
		if before, _ := strconv.ParseUint(term.Previous, 10, 64); before >= token || before == 0 && term.Previous != "" {
			r.f.t.Errorf("%s: under token %d it finds the note %q", r.name, token, term.Previous)
		}
		if err := term.Note(fmt.Sprint(token)); err != nil {
			r.f.t.Error(err)
		}
		defer r.f.witness.Begin(key, r.name, token)()
		for ctx.Err() == nil {
			r.f.witness.Write(key, token)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		time.Sleep(linger)
		return ctx.Err()
	}
}

// add adds a singleton with that body.
func (r *replica) add(key string, linger time.Duration, opts ...taskvisor.TaskOption) *taskvisor.Handle {
	r.f.t.Helper()
	return r.addSpec(taskvisor.Restartable(key, r.body(key, linger), append([]taskvisor.TaskOption{r.owner.Singleton(key)}, opts...)...))
}

func (r *replica) addSpec(spec taskvisor.TaskSpec) *taskvisor.Handle {
	r.f.t.Helper()
	h, err := r.sup.Add(context.Background(), spec)
	if err != nil {
		r.f.t.Fatal(err)
	}
	return h
}

// runner waits until exactly one replica, not that one, runs key, and returns it and
// how long that took. It fails the test after the limit.
func (f *fleet) runner(key string, not *replica, limit time.Duration) (*replica, time.Duration) {
	f.t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		synctest.Wait()
		if names := f.witness.Running(key); len(names) == 1 && (not == nil || names[0] != not.name) {
			for _, r := range f.all {
				if r.name == names[0] {
					return r, time.Since(begun)
				}
			}
		}
		if time.Since(begun) > limit {
			f.t.Fatalf("after %s %q runs in %q", limit, key, f.witness.Running(key))
		}
	}
}

// others lists the replicas but r.
func (f *fleet) others(r *replica) (list []*replica) {
	for _, o := range f.all {
		if o != r {
			list = append(list, o)
		}
	}
	return list
}
