package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// last is a task that leaves a note at its end.
func last(r *replica, key, note string) *taskvisor.Handle {
	return r.addSpec(taskvisor.Restartable(key, func(ctx context.Context) error {
		term, _ := lease.TermOf(ctx)
		_ = term.Note("begun")
		<-ctx.Done()
		return term.Note(note)
	}, r.owner.Singleton(key)))
}

// A release that has to be repeated takes the note along.
func TestNoteOfARepeatedRelease(t *testing.T) {
	for name, fault := range map[string]func(f *fleet, r *replica){
		"down once": func(f *fleet, _ *replica) {
			f.engine.SetDown(true)
			time.AfterFunc(50*time.Millisecond, func() { f.engine.SetDown(false) })
		},
		"down for a while": func(f *fleet, _ *replica) {
			f.engine.SetDown(true)
			time.AfterFunc(ttl/4, func() { f.engine.SetDown(false) })
		},
		"a lost answer": func(_ *fleet, r *replica) { r.conn.LoseAnswers(1) },
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 2, func(t *testing.T, f *fleet) {
				h := last(f.all[0], "job", "last words")
				time.Sleep(time.Second)
				fault(f, f.all[0])
				h.Stop()
				var next finder
				next.add(f.all[1], "job")
				time.Sleep(ttl / 2)
				if found := next.has(); len(found) != 1 || found[0] != "last words" {
					t.Errorf("found %q", found)
				}
			})
		})
	}
}

// A note that was written without an answer is there, and taken back if it does not hold
// any more.
func TestNoteWithoutAnAnswer(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		r := f.all[0]
		noting(r, "job", map[time.Duration]string{0: "as before", ttl + fifth/4: "in between", ttl + fifth/2: "as before"})
		time.Sleep(ttl + fifth/8) // after a renewal
		r.conn.LoseAnswers(1)
		time.Sleep(ttl)
		if n := len(r.saw(lease.StoreFailed)); n != 1 {
			t.Fatalf("%d notes without an answer", n)
		}
		if lost := r.saw(lease.Lost, lease.RenewFailed); len(lost) > 0 {
			t.Fatalf("it was another request: %v", lost)
		}
		r.conn.Cut(true)
		var next finder
		next.add(f.all[1], "job")
		time.Sleep(2 * ttl)
		if found := next.has(); len(found) != 1 || found[0] != "as before" {
			t.Errorf("found %q", found)
		}
		r.conn.Cut(false)
	})
}
