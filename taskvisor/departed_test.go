package taskvisor

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Lists are by id, however many tasks there are and however far their ids are
// apart, and nobody is lost on the way.
func TestSortedIsByID(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 2, 100, 1<<digit - 1, 1 << digit, 10_000} {
		for _, spread := range []uint64{0, 1, 1 << 12, 1 << 40} {
			first := rng.Uint64N(1 << 60)
			ns := make([]numbered, n)
			for i, at := range rng.Perm(n) {
				id := TaskID(first + uint64(at)*(1+spread))
				ns[i] = numbered{id, &task{id: id}}
			}
			for i, u := range sorted(ns) {
				if u.id != TaskID(first+uint64(i)*(1+spread)) {
					t.Fatalf("%d tasks, %d apart: the %dth is %d, the first %d", n, 1+spread, i, u.id, first)
				}
			}
		}
	}
}

// From the instant in which a task departs, its name is free for another, and it
// is found by nobody, whenever it is taken out of the table.
func TestDepartedIsGone(t *testing.T) {
	r := registry{}
	r.init()
	r.state = StateRunning
	first, second := &task{id: 1, name: "name"}, &task{id: 2, name: "name"}
	if err := r.add1(first); err != nil || r.lookup("name") != first {
		t.Fatal(err)
	}
	if err := r.add1(second); err != ErrTaskExists {
		t.Fatalf("a second of the name: %v", err)
	}
	first.departed.Store(true)
	if u := r.lookup("name"); u != nil || len(r.list()) != 0 {
		t.Errorf("departed, and found: %p, list of %d", u, len(r.list()))
	}
	if err := r.add1(second); err != nil {
		t.Fatalf("the name is not free: %v", err)
	}
	for range 2 {
		if all := r.list(); r.lookup("name") != second || len(all) != 1 || all[0] != second {
			t.Errorf("found %p of %v, want %p", r.lookup("name"), all, second)
		}
		if r.names.count > 1 {
			r.retire(first, account{attempts: 1, alive: true})
		}
	}
	if r.removed != 1 || r.names.count != 1 || first.same != nil || second.prior != nil {
		t.Errorf("removed %d, %d names", r.removed, r.names.count)
	}
}

// In a large table the departed are deleted some at a time, and none is left when
// it is small again.
func TestDepartedAreDeletedTogether(t *testing.T) {
	var table nameTable
	table.init()
	var tasks []*task
	for i := range 2 * goneFrom {
		u := &task{id: TaskID(i + 1), name: strconv.Itoa(i)}
		tasks = append(tasks, u)
		table.put(u)
	}
	most := 0
	for i, u := range tasks {
		u.departed.Store(true)
		table.depart(u)
		if table.get(u.name) != nil || table.count-table.left != len(tasks)-i-1 {
			t.Fatalf("%q departed, and %d are left, of which %d are to be deleted", u.name, table.count, table.left)
		}
		if next := i + 1; next < len(tasks) && table.get(tasks[next].name) != tasks[next] {
			t.Fatalf("%q is lost", tasks[next].name)
		}
		most = max(most, table.left)
	}
	if most != goneTogether-1 || table.count != 0 || table.left != 0 || len(table.buckets) > 2*leastNames {
		t.Errorf("at most %d together; %d left in %d buckets", most, table.count, len(table.buckets))
	}
	for _, u := range table.gone {
		if u != nil {
			t.Errorf("%q is remembered", u.name)
		}
	}
}

// Among thousands of names too, one is free when the outcome of its task is known,
// and nobody finds the task any more.
func TestNameIsFreeAmongThousands(t *testing.T) {
	s := startedSupervisor(t)
	ctx := context.Background()
	var resident []TaskSpec
	for i := range goneFrom {
		resident = append(resident, Periodic("resident-"+strconv.Itoa(i), time.Hour, func(context.Context) error { return nil }))
	}
	if _, err := s.AddAll(ctx, resident...); err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for c := range 4 {
		callers.Go(func() {
			name := "mine-" + strconv.Itoa(c)
			for range 300 {
				h, err := s.Add(ctx, Once(name, func(context.Context) error { return nil }))
				if err != nil {
					t.Error(err)
					return
				}
				if o, err := h.Wait(ctx); err != nil || o.Kind != OutcomeCompleted {
					t.Error(o.Kind, err)
				}
				if u, ok := s.Lookup(name); ok || s.Alive(name) {
					t.Errorf("%s (%d) is found after its end", u.Name(), u.ID())
				}
			}
		})
	}
	callers.Wait()
	if n := len(s.List()); n != goneFrom {
		t.Errorf("%d tasks are listed, want %d", n, goneFrom)
	}
}

// Where nobody subscribes, registering a task reads no clock; what is shown of it
// before its first attempt is as old as the look at it.
func TestSinceOfATaskThatJustCame(t *testing.T) {
	s := startedSupervisor(t)
	u := s.newTask(context.Background(), Once("task", func(context.Context) error { return nil }))
	if err := s.reg.add1(u); err != nil {
		t.Fatal(err)
	}
	u.announce(false)
	before := time.Now().Round(0)
	if st := u.Status(); st.State != StatePending || st.Since.Before(before) || st.Since.After(time.Now()) {
		t.Errorf("%v since %v, asked for at %v", st.State, st.Since, before)
	}
	if u.launch() {
		s.spawn(u)
	}
	if o, err := u.Wait(context.Background()); err != nil || o.Started.IsZero() || o.Ended.Before(o.Started) {
		t.Errorf("%v, from %v to %v", err, o.Started, o.Ended)
	}
}

// A task that waits for a permit waits since it came, also where nobody subscribes.
func TestSinceOfATaskThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := startedSupervisor(t, WithMaxConcurrent(1))
		if _, err := s.Add(ctx, Once("holder", func(context.Context) error { time.Sleep(time.Minute); return nil })); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		came := time.Now()
		var waited time.Duration
		h, err := s.Add(ctx, Once("waiter", func(ctx context.Context) error {
			a, _ := FromContext(ctx)
			waited = a.PermitWait
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if st := h.Status(); st.State != StatePending || !st.Since.Equal(came) {
			t.Errorf("%v since %v, want %v", st.State, st.Since, came)
		}
		if o, err := h.Wait(ctx); err != nil || o.Kind != OutcomeCompleted || waited != time.Minute {
			t.Errorf("%v, %v: it waited %v for its permit", o.Kind, err, waited)
		}
	})
}

// Who is announced with others waits for a permit from when the permit was asked
// for, not from when it was announced: observers that take their time do not count.
func TestPermitWaitOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowly{}
		s := startedSupervisor(t, WithMaxConcurrent(1), WithSubscriber(slow, Inline()))
		var longest atomic.Int64
		var specs []TaskSpec
		for i := range 5 {
			specs = append(specs, Once(strconv.Itoa(i), func(ctx context.Context) error {
				a, _ := FromContext(ctx)
				longest.Store(max(longest.Load(), int64(a.PermitWait)))
				time.Sleep(time.Second)
				return nil
			}))
		}
		hs, err := s.AddAll(context.Background(), specs...)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hs {
			h.Wait(context.Background())
		}
		if got := time.Duration(longest.Load()); got != 4*time.Second {
			t.Errorf("the last waited %v for its permit, while four ran for a second each", got)
		}
	})
}

// slowly takes a minute for each task that is added.
type slowly struct{}

func (*slowly) OnEvent(_ context.Context, e Event) {
	if e.Kind == TaskAdded {
		time.Sleep(time.Minute)
	}
}

// The outcome of an abandoned body is read without a lock by all who wait for it,
// while that body comes back late with a value and an exit code of its own.
func TestOutcomeIsReadWhileTheBodyComesBack(t *testing.T) {
	for _, opts := range [][]TaskOption{{WithGrace(0)}, {WithGrace(0), WithReleaseOnAbandon()}} {
		for range 50 {
			s := startedSupervisor(t)
			back := make(chan struct{})
			comeBack := sync.OnceFunc(func() { close(back) })
			h, err := s.Add(context.Background(), Restartable("late", Returning(func(context.Context) (int, error) {
				<-back
				return 1, exits{}
			}), opts...))
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return h.phaseNow() == phaseActive })
			var waiting sync.WaitGroup
			for range 4 {
				waiting.Go(func() {
					o, err := h.Wait(context.Background())
					comeBack() // while the others read
					if _, coded := o.ExitCode(); err != nil || o.Kind != OutcomeAbandoned || o.Value != nil || coded {
						t.Errorf("%v %v %v", o.Kind, o.Value, err)
					}
				})
			}
			h.Stop()
			waiting.Wait()
		}
	}
}

type exits struct{}

func (exits) Error() string { return "exits" }
func (exits) ExitCode() int { return 3 }
