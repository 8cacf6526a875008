package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func (r *replica) submit(ctx context.Context, task, slot string, admission taskvisor.Admission, opts ...taskvisor.TaskOption) (*taskvisor.Handle, error) {
	return r.owner.Slot(ctx, r.sup, taskvisor.Submission{Task: taskvisor.Once(task, r.body(slot, 0), opts...), Slot: slot, Admission: admission})
}

// Queue waits for the slot in all processes.
func TestSlotQueue(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		a, b := f.all[0], f.all[1]
		first, err := a.submit(t.Context(), "one", "tenant 7", taskvisor.Queue)
		if err != nil {
			t.Fatal(err)
		}
		f.runner("tenant 7", nil, time.Second)
		second, _ := b.submit(t.Context(), "two", "tenant 7", taskvisor.Queue)
		third, _ := a.submit(t.Context(), "three", "tenant 7", taskvisor.Queue)
		time.Sleep(2 * ttl)
		if st := second.Status(); st.State != taskvisor.StatePending || st.Gate != "lease" || st.Slot != "tenant 7" {
			t.Errorf("the second is %v at %q in %q", st.State, st.Gate, st.Slot)
		}
		for _, h := range []*taskvisor.Handle{first, second, third} {
			time.Sleep(ttl)
			h.Stop()
		}
		time.Sleep(ttl)
		for _, h := range []*taskvisor.Handle{second, third} {
			if o, ok := h.Outcome(); !ok || o.Kind != taskvisor.OutcomeCanceled {
				t.Errorf("%s: %v %+v", h.Name(), ok, o)
			}
		}
		if ls := a.owner.Status(); len(ls) != 0 {
			t.Errorf("left: %+v", ls)
		}
	})
}

// DropIfRunning is refused where another process has the slot, or this one.
func TestSlotDropIfRunning(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		a, b := f.all[0], f.all[1]
		first, err := a.submit(t.Context(), "one", "k", taskvisor.DropIfRunning)
		if err != nil {
			t.Fatal(err)
		}
		f.runner("k", nil, 0)
		_, err = b.submit(t.Context(), "two", "k", taskvisor.DropIfRunning)
		var held *lease.HeldError
		if !errors.Is(err, lease.ErrHeld) || !errors.As(err, &held) || held.Holder != a.name {
			t.Errorf("elsewhere: %v", err)
		}
		h, err := a.submit(t.Context(), "three", "k", taskvisor.DropIfRunning)
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := h.Outcome(); !ok || o.Reason != taskvisor.ErrSlotBusy {
			t.Errorf("here: %v %+v", ok, o)
		}
		synctest.Wait()
		if ls := b.owner.Status(); len(ls) != 0 {
			t.Errorf("the refused keeps %+v", ls)
		}
		f.runner("k", nil, 0)
		first.Stop()
		time.Sleep(10 * time.Millisecond)
		if _, err = b.submit(t.Context(), "four", "k", taskvisor.DropIfRunning); err != nil {
			t.Errorf("free again: %v", err)
		}
		f.runner("k", a, time.Second)
	})
}

// A task that ends at once leaves nothing, and many claims at once have one winner.
func TestSlotDropIfRunningShort(t *testing.T) {
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		for _, r := range f.all {
			for range 20 {
				h, err := r.owner.Slot(t.Context(), r.sup, taskvisor.Submission{Admission: taskvisor.DropIfRunning,
					Task: taskvisor.Once("quick", func(context.Context) error { return nil })})
				if err == nil {
					_, _ = h.Wait(t.Context())
				} else if !errors.Is(err, lease.ErrHeld) {
					t.Error(err)
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
		won := make(chan string, len(f.all))
		for _, r := range f.all {
			go func() {
				name := ""
				if _, err := r.submit(context.Background(), "race", "race", taskvisor.DropIfRunning); err == nil {
					name = r.name
				}
				won <- name
			}()
		}
		winners := 0
		for range f.all {
			if <-won != "" {
				winners++
			}
		}
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
		synctest.Wait()
		for _, r := range f.all {
			for _, l := range r.owner.Status() {
				if l.Key != "slot/race" {
					t.Errorf("%s keeps %+v", r.name, l)
				}
			}
		}
	})
}

// What cannot be done is an error at once; ctx bounds the question.
func TestSlotRefusals(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		for _, admission := range []taskvisor.Admission{taskvisor.Replace, taskvisor.Coalesce, taskvisor.Join} {
			if _, err := r.submit(t.Context(), "a", "k", admission); err == nil {
				t.Errorf("%v was accepted", admission)
			}
		}
		if _, err := r.submit(t.Context(), "a", "k\n", taskvisor.Queue); err == nil {
			t.Error("a bad key was accepted")
		}
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.owner.Slot(t.Context(), sup, taskvisor.Submission{Task: taskvisor.Once("a", r.body("k", 0))}); err == nil {
			t.Error("a supervisor without the subscriber was accepted")
		}
		r.conn.Cut(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if _, err := r.submit(ctx, "a", "k", taskvisor.DropIfRunning); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("cut off: %v after %s", err, time.Since(begun))
		}
		if _, err := r.submit(ctx, "a", "k", taskvisor.DropIfRunning); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended ctx: %v", err)
		}
		r.conn.Cut(false)
		time.Sleep(ttl)
		if ls := r.owner.Status(); len(ls) != 0 {
			t.Errorf("left: %+v", ls)
		}
	})
}
