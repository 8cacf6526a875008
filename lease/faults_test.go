package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// An owner that is cut off stops by its own deadline, before the engine gives the lease
// to another, which begins within the ttl and the slack. The attempt was interrupted,
// which is no failure, and the task waits again.
func TestPartition(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		handles := map[*replica]*taskvisor.Handle{}
		causes := map[*replica]error{}
		for _, r := range f.all {
			work := r.body("job", 0)
			handles[r] = r.addSpec(taskvisor.Restartable("job", func(ctx context.Context) error {
				defer func() { causes[r] = context.Cause(ctx) }()
				return work(ctx)
			}, r.owner.Singleton("job")))
		}
		old, _ := f.runner("job", nil, time.Second)
		time.Sleep(3*ttl + ttl/7)
		old.conn.Cut(true)
		cut := time.Now()
		_, took := f.runner("job", old, ttl+slack)
		t.Logf("the new began after %s", took)
		synctest.Wait()
		lost := old.saw(lease.Lost)
		if len(lost) != 1 || lost[0].Reason != lease.LostDeadline {
			t.Fatalf("lost: %v", lost)
		}
		if gap := took - lost[0].Time.Sub(cut); gap < margin {
			t.Errorf("the old stopped %s before the new began", gap)
		}
		var le *lease.LostError
		if cause := causes[old]; !errors.Is(cause, lease.ErrLost) || !errors.Is(cause, taskvisor.ErrInterrupted) ||
			!errors.As(cause, &le) || le.Key != "job" || le.Token != 1 {
			t.Errorf("cause %v", cause)
		}
		st := handles[old].Status()
		if st.State != taskvisor.StatePending || st.Streak != 0 || st.LastResult != taskvisor.ResultCanceled {
			t.Errorf("the old task is %v, streak %d, last %v", st.State, st.Streak, st.LastResult)
		}
		old.conn.Cut(false)
		time.Sleep(5 * ttl)
		if r, _ := f.runner("job", nil, 0); r == old {
			t.Error("it went back")
		}
		if n := len(old.saw(lease.Overrun)); n != 0 {
			t.Errorf("%d overruns", n)
		}
	})
}

// While the engine is down everybody stops; when it is back, somebody runs.
func TestEngineDown(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		for _, r := range f.all {
			r.add("job", 0)
		}
		owner, _ := f.runner("job", nil, time.Second)
		time.Sleep(2 * ttl)
		f.engine.SetDown(true)
		down := time.Now()
		time.Sleep(ttl)
		if n := f.witness.Running("job"); len(n) != 0 {
			t.Errorf("runs in %v", n)
		}
		lost := owner.saw(lease.Lost)
		if len(lost) != 1 {
			t.Fatalf("lost: %v", lost)
		}
		if took := lost[0].Time.Sub(down); took > ttl-margin || took < ttl/2 {
			t.Errorf("it stopped after %s", took)
		}
		if n := len(owner.saw(lease.RenewFailed)); n != 1 {
			t.Errorf("%d times said that renewals fail", n)
		}
		time.Sleep(5 * ttl)
		f.engine.SetDown(false)
		f.runner("job", nil, ttl)
	})
}

// A short outage, slow answers and lost ones cost nothing.
func TestLeaseOutlivesShortFaults(t *testing.T) {
	for name, fault := range map[string]func(f *fleet, r *replica){
		"outage": func(f *fleet, _ *replica) {
			f.engine.SetDown(true)
			time.Sleep(ttl / 2)
			f.engine.SetDown(false)
		},
		"delay":        func(_ *fleet, r *replica) { r.conn.Delay(ttl / 5) },
		"lost answers": func(_ *fleet, r *replica) { r.conn.LoseAnswers(10) },
		"cut": func(_ *fleet, r *replica) {
			r.conn.Cut(true)
			time.Sleep(ttl / 2)
			r.conn.Cut(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 2, func(t *testing.T, f *fleet) {
				for _, r := range f.all {
					r.add("job", 0)
				}
				owner, _ := f.runner("job", nil, time.Second)
				time.Sleep(ttl + ttl/7)
				fault(f, owner)
				time.Sleep(3 * ttl)
				if r, _ := f.runner("job", nil, 0); r != owner || len(owner.saw(lease.Lost)) != 0 {
					t.Errorf("runs in %s, lost %v", r.name, owner.saw(lease.Lost))
				}
			})
		})
	}
}

// A lease that the engine has ended by itself is noticed with the next renewal. What
// the old body writes until then is refused once the new owner has written.
func TestStolen(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		var stale bool
		h := r.addSpec(taskvisor.Restartable("job", func(ctx context.Context) error {
			token, _ := lease.Token(ctx)
			<-ctx.Done()
			stale = stale || !f.witness.Write("job", token)
			return nil
		}, r.owner.Singleton("job")))
		synctest.Wait()
		f.engine.Expire("taskvisor/job")
		token, err := f.engine.Connect().Acquire(context.Background(), "taskvisor/job", "thief", ttl)
		if err != nil {
			t.Fatal(err)
		}
		f.witness.Write("job", token)
		time.Sleep(ttl / 2)
		lost := r.saw(lease.Lost)
		if len(lost) != 1 || lost[0].Reason != lease.LostStolen || h.Status().State != taskvisor.StatePending {
			t.Errorf("lost %v, the task is %v", lost, h.Status().State)
		}
		if !stale || f.witness.Refused() != 1 {
			t.Error("the stale write was not refused")
		}
		if ls := r.owner.Status(); ls[0].Holder != "thief" {
			t.Errorf("%+v", ls)
		}
	})
}

// A body that does not come back in time after the loss is said, loudly, and the lease
// is not asked for before it has come back.
func TestOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t}
		a, b := f.join(), f.join()
		h := a.add("job", 3*margin)
		f.runner("job", nil, time.Second)
		b.add("job", 0)
		synctest.Wait()
		a.conn.Cut(true)
		time.Sleep(ttl + margin)
		a.conn.Cut(false)
		over := a.saw(lease.Overrun)
		if len(over) != 1 || over[0].Task != "job" {
			t.Errorf("overrun: %v", over)
		}
		if v := f.witness.Violations(); len(v) != 1 {
			t.Errorf("the witness saw %v", v)
		}
		time.Sleep(3 * ttl)
		if st := h.Status(); st.State != taskvisor.StatePending {
			t.Errorf("the old task is %v", st.State)
		}
		h.Stop() // it would take longer than its grace once more
	})
}

// A lease is left to expire under a body that was abandoned: nobody takes it before,
// and somebody does then.
func TestAbandoned(t *testing.T) {
	for name, opts := range map[string][]taskvisor.TaskOption{"kept": nil, "released": {taskvisor.WithReleaseOnAbandon()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fleet{t: t}
				a, b := f.join(), f.join()
				h := a.add("job", 10*ttl, opts...)
				f.runner("job", nil, time.Second)
				b.add("job", 0)
				time.Sleep(ttl)
				h.Stop()
				stopped := time.Now()
				for len(f.engine.Grants()) == 1 && time.Since(stopped) < 3*ttl {
					time.Sleep(10 * time.Millisecond)
				}
				took := time.Since(stopped)
				if took < ttl || took > margin+ttl+slack {
					t.Errorf("taken over %s after the stop, with a grace of %s", took, margin)
				}
				if n := len(a.saw(lease.Lapsing)); n != 1 {
					t.Errorf("%d times said that it lapses", n)
				}
				if lost := a.saw(lease.Lost); len(lost) != 1 || lost[0].Reason != lease.LostAbandoned {
					t.Errorf("lost %v", lost)
				}
				if n := len(a.saw(lease.Released)); n != 0 {
					t.Error("released under the body")
				}
				time.Sleep(10 * ttl)
			})
		})
	}
}

// A lease that is lost while the task waits at another gate is not run under.
func TestLostAtAnotherGate(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		limit := taskvisor.NewLimit("other", 0)
		a, b := f.all[0], f.all[1]
		a.add("job", 0, taskvisor.WithGate(limit))
		synctest.Wait()
		b.add("job", 0)
		a.conn.Cut(true)
		f.runner("job", a, ttl+slack)
		a.conn.Cut(false)
		seen := a.saw(lease.Lost)
		limit.Resize(1)
		synctest.Wait()
		time.Sleep(ttl)
		if len(seen) != 1 || f.witness.Refused() != 0 {
			t.Errorf("lost %v, refused %d", seen, f.witness.Refused())
		}
	})
}

// Whatever happens to connections and the engine, no two bodies run at a time, tokens
// never fall, and when the faults are over somebody runs within the ttl and the slack.
func TestLawsUnderFaults(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		inFleet(t, 3, func(t *testing.T, f *fleet) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			for _, r := range f.all {
				r.add("a", time.Duration(rnd.Int64N(int64(margin))))
				r.add("b", 0)
			}
			for range 30 {
				r := f.all[rnd.IntN(len(f.all))]
				switch rnd.IntN(8) {
				case 0:
					r.conn.Cut(true)
				case 1:
					r.conn.Delay(time.Duration(rnd.Int64N(int64(ttl))))
				case 2:
					r.conn.LoseAnswers(rnd.IntN(5))
				case 3:
					r.conn.Late(time.Duration(rnd.Int64N(int64(3 * ttl))))
				case 4:
					f.engine.SetDown(true)
				case 5:
					if h, ok := r.sup.Lookup("b"); ok {
						h.Interrupt(nil)
					}
				case 6:
					if h, ok := r.sup.Lookup("b"); ok {
						_, _ = h.Cancel(context.Background())
					}
					r.add("b", 0)
				}
				time.Sleep(time.Duration(rnd.Int64N(int64(ttl))))
				if rnd.IntN(2) == 0 {
					f.heal()
				}
			}
			f.heal()
			f.runner("a", nil, 2*ttl+slack) // requests on their way may hold it for another ttl
			f.runner("b", nil, 2*ttl+slack)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (f *fleet) heal() {
	f.engine.SetDown(false)
	for _, r := range f.all {
		r.conn.Cut(false)
		r.conn.Delay(0)
		r.conn.LoseAnswers(0)
		r.conn.Late(0)
	}
}

// An owner that is cut off loses all its leases at one time. What each costs does not
// grow with the others: the last body would otherwise be told long after another owner
// has its lease.
func TestManyLossesAtATime(t *testing.T) {
	const n, each = 500, 32 << 10
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		for i := range n {
			name := fmt.Sprint("job-", i)
			r.addSpec(taskvisor.Restartable(name, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			}, r.owner.Singleton(name)))
		}
		time.Sleep(ttl)
		r.conn.Cut(true)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		time.Sleep(ttl)
		runtime.ReadMemStats(&after)
		if lost := len(r.saw(lease.Lost)); lost != n {
			t.Errorf("%d leases lost, not %d", lost, n)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) / n; took > each {
			t.Errorf("a loss beside %d others took %d bytes", n, took)
		} else {
			t.Logf("%d bytes each", took)
		}
		r.conn.Cut(false)
	})
}
