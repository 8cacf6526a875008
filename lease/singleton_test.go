package lease_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// One of three replicas runs the task; in the others it is pending at its gate, and
// their owners know who has it.
func TestSingleton(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		handles := map[*replica]*taskvisor.Handle{}
		for _, r := range f.all {
			handles[r] = r.add("job", 0)
		}
		owner, took := f.runner("job", nil, time.Second)
		if took > 0 {
			t.Errorf("a free lease took %s", took)
		}
		time.Sleep(10 * ttl)
		if r, _ := f.runner("job", nil, 0); r != owner {
			t.Error("the lease has moved")
		}
		for _, r := range f.others(owner) {
			st := handles[r].Status()
			if st.State != taskvisor.StatePending || st.Gate != "lease job" || st.Attempt != 0 {
				t.Errorf("standby: %v at %q, attempt %d", st.State, st.Gate, st.Attempt)
			}
			if ls := r.owner.Status(); len(ls) != 1 || ls[0].State != lease.Seeking || ls[0].Holder != owner.name {
				t.Errorf("standby's lease: %+v", ls)
			}
		}
		ls := owner.owner.Status()
		if len(ls) != 1 || ls[0].State != lease.Held || ls[0].Token == 0 || ls[0].Holder != owner.name || ls[0].Tasks[0] != "job" {
			t.Fatalf("owner's lease: %+v", ls)
		}
		if ls[0].Margin < ttl/2 {
			t.Errorf("renewed with %s left", ls[0].Margin)
		}
		if n := f.engine.Renewals(); n > 60 {
			t.Errorf("%d renewals in 10 ttl", n)
		}
		if n := len(f.engine.Grants()); n != 1 {
			t.Errorf("%d grants", n)
		}
	})
}

// A shutdown, and the end of the task, hand the lease over at once, with a watch; by
// polling, within a fifth of the ttl and jitter. Nobody begins before the old body has
// returned.
func TestHandover(t *testing.T) {
	const linger = 700 * time.Millisecond
	for name, end := range map[string]func(r *replica, h *taskvisor.Handle){
		"shutdown": func(r *replica, _ *taskvisor.Handle) { go func() { _ = r.sup.Shutdown(context.Background()) }() },
		"stop":     func(_ *replica, h *taskvisor.Handle) { h.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 3, func(t *testing.T, f *fleet) {
				handles := map[*replica]*taskvisor.Handle{}
				for _, r := range f.all {
					handles[r] = r.add("job", linger)
				}
				owner, _ := f.runner("job", nil, time.Second)
				time.Sleep(ttl)
				end(owner, handles[owner])
				_, took := f.runner("job", owner, ttl)
				if took < linger || took > linger+50*time.Millisecond {
					t.Errorf("the handover took %s, of which the old body %s", took, linger)
				}
				if len(owner.saw(lease.Released)) != 1 {
					t.Error("not released")
				}
			})
		})
	}
}

// Without a watch the lease is looked for.
func TestHandoverByPolling(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		first := f.all[0]
		h := first.add("job", 0)
		f.runner("job", nil, time.Second)
		second := f.join()
		second.owner = second.newOwner(second.conn.Polled())
		second.sup, second.rec = taskvisortest.Start(t, taskvisor.WithSubscriber(second.owner.Subscriber()), taskvisor.WithGrace(margin))
		second.add("job", 0)
		time.Sleep(3 * ttl)
		h.Stop()
		if _, took := f.runner("job", first, ttl); took > ttl/5*5/4+50*time.Millisecond {
			t.Errorf("took %s", took)
		}
	})
}

// Run returns when the leases have been given back: the process may end then.
func TestShutdownWaitsForTheRelease(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		r.add("job", 0)
		f.runner("job", nil, time.Second)
		r.conn.Delay(200 * time.Millisecond)
		if err := r.sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if holders, _ := f.engine.Connect().Holders(context.Background(), ""); len(holders) != 0 {
			t.Errorf("still held: %v", holders)
		}
	})
}

// Attempts that fail and periods that pass keep the lease: the same replica goes on.
func TestLeaseIsKeptBetweenAttempts(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		for _, r := range f.all {
			n := 0
			r.addSpec(taskvisor.Periodic("tick", 3*ttl, func(ctx context.Context) error {
				token, _ := lease.Token(ctx)
				defer f.witness.Begin("tick", r.name, token)()
				if n++; n == 2 {
					return errors.New("once")
				}
				time.Sleep(time.Millisecond)
				return nil
			}, r.owner.Singleton("tick"), taskvisor.ConstantBackoff(ttl)))
		}
		time.Sleep(20 * ttl)
		if g := f.engine.Grants(); len(g) != 1 {
			t.Errorf("grants: %v", g)
		}
	})
}

// A task whose grace is longer than the margin is refused, with an error that says what
// to set; so is one whose supervisor does not have the subscriber.
func TestMisuseIsSaid(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		h := r.add("job", 0, taskvisor.WithGrace(2*margin))
		o, err := h.Wait(context.Background())
		if err != nil || o.Kind != taskvisor.OutcomeCanceled || !strings.Contains(o.Err.Error(), "WithGrace(1s)") || !strings.Contains(o.Err.Error(), "WithTTL(8s)") {
			t.Errorf("outcome %v %v %v", o.Kind, o.Err, err)
		}
		sup, _ := taskvisortest.Start(t)
		h, err = sup.Add(context.Background(), taskvisor.Once("lonely", r.body("lonely", 0), r.owner.Singleton("lonely")))
		if err != nil {
			t.Fatal(err)
		}
		if o, err := h.Wait(context.Background()); err != nil || o.Kind != taskvisor.OutcomeCanceled || !strings.Contains(o.Err.Error(), "owner.Subscriber()") {
			t.Errorf("outcome %v %v %v", o.Kind, o.Err, err)
		}
		refused := r.saw(lease.Refused)
		if len(refused) != 2 || refused[0].Task != "job" || !strings.Contains(refused[1].Err.Error(), "owner.Subscriber()") {
			t.Errorf("refused: %v", refused)
		}
		if len(f.engine.Grants()) != 0 {
			t.Error("a lease was taken")
		}
	})
}

// A supervisor is not taken for another of the same name, and be it that the other has the
// subscriber: its bodies would have no token, and run on without their lease.
func TestSupervisorsOfTheSameName(t *testing.T) {
	for name, before := range map[string]bool{"before the other has a task": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 1, func(t *testing.T, f *fleet) {
				r := f.all[0]
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if !before {
					r.add("other", 0)
				}
				sup, _ := taskvisortest.Start(t, taskvisor.WithName(r.name), taskvisor.WithGrace(margin))
				h, err := sup.Add(ctx, taskvisor.Once("job", r.body("job", 0), r.owner.Singleton("job")))
				if err != nil {
					t.Fatal(err)
				}
				if o, err := h.Wait(ctx); err != nil || o.Kind != taskvisor.OutcomeCanceled || !strings.Contains(o.Err.Error(), "owner.Subscriber()") {
					t.Fatalf("outcome %v %v %v", o.Kind, o.Err, err)
				}
				sub := taskvisor.Submission{Task: taskvisor.Once("paused", r.body("slot", 0), taskvisor.WithStartPaused()), Admission: taskvisor.DropIfRunning}
				if h, err = r.owner.Slot(ctx, sup, sub); err == nil {
					h.Stop() // its lease is not kept, as inFleet looks
				}
				sub.Task = taskvisor.Once("slot", r.body("slot", 0))
				if h, err = r.owner.Slot(ctx, sup, sub); err == nil {
					o, _ := h.Wait(ctx)
					err = o.Err
				}
				if err == nil || !strings.Contains(err.Error(), "owner.Subscriber()") {
					t.Errorf("slot: %v", err)
				}
				err = r.owner.Shard(ctx, sup, fixed(numbered(1)), r.holder)
				if err == nil || !strings.Contains(err.Error(), "owner.Subscriber()") {
					t.Errorf("shard: %v", err)
				}
				r.add("own", 0)
				f.runner("own", nil, time.Second)
			})
		})
	}
}

// A supervisor inside another, both with the default name, has a subscriber of its own.
func TestSubscriberOfEachSupervisor(t *testing.T) {
	inFleet(t, 0, func(t *testing.T, f *fleet) {
		r := &replica{f: f, name: "nested", conn: f.engine.Connect()}
		r.owner = r.newOwner(r.conn)
		own := r.owner.Subscriber()
		inner, err := taskvisor.New(taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := inner.Add(t.Context(), taskvisor.Restartable("in", r.body("in", 0), r.owner.Singleton("in"))); err != nil {
			t.Fatal(err)
		}
		r.sup, r.rec = taskvisortest.Start(t, taskvisor.WithSubscriber(own), taskvisor.WithGrace(margin))
		f.all = append(f.all, r)
		r.addSpec(inner.AsTask("inner", taskvisor.WithGrace(margin)))
		r.add("out", 0)
		f.runner("in", nil, time.Second)
		f.runner("out", nil, time.Second)
		if _, err := taskvisor.New(taskvisor.WithSubscriber(own)); err == nil || !strings.Contains(err.Error(), "owner.Subscriber()") {
			t.Errorf("one for two supervisors: %v", err)
		}
	})
}

// An owner whose tasks have ended has nothing left.
func TestNothingIsLeft(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		var all []*taskvisor.Handle
		for _, r := range f.all {
			all = append(all, r.add("a", 0), r.add("b", 0))
		}
		time.Sleep(ttl)
		for _, h := range all {
			h.Stop()
		}
		time.Sleep(ttl / 2)
		synctest.Wait()
		for _, r := range f.all {
			if ls := r.owner.Status(); len(ls) != 0 {
				t.Errorf("%s: %+v", r.name, ls)
			}
		}
		if holders, _ := f.engine.Connect().Holders(context.Background(), ""); len(holders) != 0 {
			t.Errorf("held: %v", holders)
		}
	})
}

// A standby that is paused does not take the lease.
func TestPausedStandby(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		h := f.all[0].add("job", 0)
		f.runner("job", nil, time.Second)
		standby := f.all[1].add("job", 0)
		synctest.Wait()
		standby.Pause(nil)
		h.Stop()
		time.Sleep(2 * ttl)
		if len(f.engine.Grants()) != 1 {
			t.Error("a paused task has taken the lease")
		}
		standby.Resume(nil)
		f.runner("job", nil, time.Second)
	})
}

// Two tasks of one owner share the lease of a key, and it is released after both.
func TestSharedKey(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		r := f.all[0]
		a := r.addSpec(taskvisor.Restartable("a", r.body("job", 0), r.owner.Singleton("job")))
		synctest.Wait()
		b := r.addSpec(taskvisor.Once("b", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, r.owner.Singleton("job")))
		synctest.Wait()
		if a.Status().State != taskvisor.StateRunning || b.Status().State != taskvisor.StateRunning {
			t.Error("they do not share it")
		}
		a.Stop()
		time.Sleep(ttl)
		f.all[1].add("job", 0)
		time.Sleep(ttl)
		if len(f.engine.Grants()) != 1 {
			t.Error("released while b has it")
		}
		b.Stop()
		f.runner("job", nil, time.Second)
	})
}

func TestOptions(t *testing.T) {
	engine := (&leasetest.Memory{}).Connect()
	for name, opt := range map[string]lease.Option{
		"ttl": lease.WithTTL(time.Millisecond), "id": lease.WithID(""), "prefix": lease.WithPrefix("a\x00"), "observer": lease.WithObserver(nil),
	} {
		if _, err := lease.New(engine, opt); err == nil || !strings.HasPrefix(err.Error(), "lease: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := lease.New(nil); err == nil {
		t.Error("a nil store")
	}
	a, _ := lease.New(engine)
	b, _ := lease.New(engine)
	if a.ID() == b.ID() || a.TTL() != 15*time.Second {
		t.Errorf("ids %q and %q, ttl %s", a.ID(), b.ID(), a.TTL())
	}
	for key, fit := range map[string]bool{"": false, "a\nb": false, "\xff": false, strings.Repeat("k", 1025): false,
		"member/sync": false, "slot/1": false, "shard/": false, // a phantom process would have shards
		"member": true, "slots/1": true, "my/shard/1": true} {
		func() {
			defer func() {
				if said := recover(); (said == nil) != fit {
					t.Errorf("key %q: %v", key, said)
				}
			}()
			a.Singleton(key)
		}()
	}
}
