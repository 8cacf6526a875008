package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// finder is a task that says which note each of its attempts finds.
type finder struct {
	mu    sync.Mutex
	found []string
}

func (p *finder) add(r *replica, key string) *taskvisor.Handle {
	return r.addSpec(taskvisor.Restartable(key, func(ctx context.Context) error {
		term, _ := lease.TermOf(ctx)
		p.mu.Lock()
		p.found = append(p.found, term.Previous)
		p.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}, r.owner.Singleton(key)))
}

func (p *finder) has() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.found)
}

// noting is a task that leaves notes, each when its time has come since the begin.
func noting(r *replica, key string, notes map[time.Duration]string) *taskvisor.Handle {
	return r.addSpec(taskvisor.Restartable(key, func(ctx context.Context) error {
		term, _ := lease.TermOf(ctx)
		for at, note := range notes {
			time.AfterFunc(at, func() { _ = term.Note(note) })
		}
		<-ctx.Done()
		return ctx.Err()
	}, r.owner.Singleton(key)))
}

const fifth = ttl / 5

// The next owner's first attempt finds the note of the last, however that has ended. One
// that is killed has left its first note within milliseconds and each later one within a
// fifth of the ttl; one that gives the lease back takes the latest along.
func TestNoteOfTheOwnerBefore(t *testing.T) {
	two := map[time.Duration]string{0: "one", 100 * time.Millisecond: "two"}
	for name, c := range map[string]struct {
		notes map[time.Duration]string
		ends  time.Duration // after its begin
		kill  bool
		want  string
	}{
		"killed at once":         {two, time.Millisecond, true, "one"},
		"killed in between":      {two, fifth - time.Millisecond, true, "one"},
		"killed a fifth later":   {two, fifth + time.Millisecond, true, "two"},
		"stopped in between":     {two, 101 * time.Millisecond, false, "two"},
		"stopped later":          {two, 10 * ttl, false, "two"},
		"killed after a pause":   {map[time.Duration]string{0: "one", 10 * ttl: "two"}, 10*ttl + time.Millisecond, true, "two"},
		"one that is taken back": {map[time.Duration]string{0: "one", 10 * ttl: ""}, 11 * ttl, true, ""},
		"without a note":         {nil, ttl, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 2, func(t *testing.T, f *fleet) {
				old := f.all[0]
				h := noting(old, "job", c.notes)
				synctest.Wait()
				var next finder
				again := next.add(f.all[1], "job")
				time.Sleep(c.ends)
				if c.kill {
					old.conn.Cut(true)
				} else {
					h.Stop()
				}
				time.Sleep(2 * ttl)
				again.Interrupt(errors.New("once more"))
				time.Sleep(ttl)
				if found := next.has(); !slices.Equal(found, []string{c.want, ""}) {
					t.Errorf("the attempts find %q, want %q for the first alone", found, c.want)
				}
				old.conn.Cut(false)
			})
		})
	}
}

// An owner that comes back from a partition finds what the other has left meanwhile, and
// its own note of before is late.
func TestNoteOfAStaleOwner(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		a, b := f.all[0], f.all[1]
		var terms []lease.Term
		a.addSpec(taskvisor.Restartable("job", func(ctx context.Context) error {
			term, _ := lease.TermOf(ctx)
			terms = append(terms, term)
			_ = term.Note("a " + fmt.Sprint(len(terms)))
			<-ctx.Done()
			return ctx.Err()
		}, a.owner.Singleton("job")))
		synctest.Wait()
		h := noting(b, "job", map[time.Duration]string{0: "b"})
		a.conn.Cut(true)
		time.Sleep(3 * ttl)
		a.conn.Cut(false)
		synctest.Wait()
		_ = terms[0].Note("late")
		time.Sleep(ttl)
		h.Stop()
		time.Sleep(ttl)
		synctest.Wait()
		_ = terms[0].Note("later")
		time.Sleep(ttl)
		if len(terms) != 2 || terms[1].Previous != "b" {
			t.Errorf("terms %+v", terms)
		}
		a.conn.Cut(true)
		_, note, err := f.engine.Connect().AcquireNoted(t.Context(), "taskvisor/job", "after", ttl)
		for ; err != nil; _, note, err = f.engine.Connect().AcquireNoted(t.Context(), "taskvisor/job", "after", ttl) {
			time.Sleep(100 * time.Millisecond)
		}
		if note != "a 2" {
			t.Errorf("left is %q", note)
		}
		a.conn.Cut(false)
	})
}

// What waits for its turn when the lease is lost is not written, and what is left under the
// next token is.
func TestNoteAfterALoss(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		n := 0
		r.addSpec(taskvisor.Restartable("job", func(ctx context.Context) error {
			term, _ := lease.TermOf(ctx)
			n++
			for i := range 2 {
				time.Sleep(fifth / 4)
				_ = term.Note(fmt.Sprintf("%d.%d", n, i+1))
			}
			<-ctx.Done()
			return ctx.Err()
		}, r.owner.Singleton("job")))
		time.Sleep(fifth * 3 / 4)
		f.engine.Expire("taskvisor/job") // which the renewal finds out, before the second note has its turn
		time.Sleep(ttl)
		r.conn.Cut(true)
		time.Sleep(2 * ttl)
		if _, note, err := f.engine.Connect().AcquireNoted(t.Context(), "taskvisor/job", "next", ttl); err != nil || note != "2.2" {
			t.Errorf("left is %q: %v", note, err)
		}
		if written := f.engine.Annotations(); len(written) != 3 {
			t.Errorf("written: %v", written)
		}
		r.conn.Cut(false)
	})
}

// A lease that is left to expire under an abandoned body is not written to.
func TestNoteOfAnAbandonedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t}
		r := f.join()
		r.add("other", 0) // something is held
		h := r.addSpec(taskvisor.Restartable("job", func(ctx context.Context) error {
			term, _ := lease.TermOf(ctx)
			<-ctx.Done()
			time.Sleep(margin + ttl/2)
			_ = term.Note("too late")
			time.Sleep(10 * ttl)
			return nil
		}, r.owner.Singleton("job")))
		time.Sleep(ttl)
		before := len(f.engine.Annotations())
		h.Stop()
		time.Sleep(3 * ttl)
		if after := len(f.engine.Annotations()); after != before || len(r.saw(lease.Lapsing)) != 1 {
			t.Errorf("written %d times", after-before)
		}
		time.Sleep(10 * ttl)
	})
}

// However many attempts begin, notes are one request a fifth of the ttl, of a hundred
// leases at most, each in its turn; what the store has already is not written.
func TestNotesAreFew(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		const keys = 250
		r := f.all[0]
		count := func(ctx context.Context) error {
			term, _ := lease.TermOf(ctx)
			for n := 0; ctx.Err() == nil; n++ {
				_ = term.Note(fmt.Sprint(min(n/10, 100))) // another each second for a while
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
			return ctx.Err()
		}
		for i := range keys {
			name := fmt.Sprint("job ", i)
			r.addSpec(taskvisor.Restartable(name, count, r.owner.Singleton(name)))
		}
		time.Sleep(99 * time.Second)
		written := f.engine.Annotations()
		if limit := int(99*time.Second/fifth) + 1; len(written) > limit || len(written) < limit-2 {
			t.Errorf("%d requests in 99 s", len(written))
		}
		for i, n := range written[1:] {
			if n != 100 {
				t.Errorf("request %d has %d notes", i+1, n)
			}
		}
		time.Sleep(2*time.Second + 3*fifth) // that each has the last
		before := f.engine.Annotations()
		time.Sleep(10 * ttl)
		if more := f.engine.Annotations()[len(before):]; len(more) > 0 {
			t.Errorf("of nothing new %v", more)
		}
		r.conn.Cut(true) // killed
		time.Sleep(2 * ttl)
		for i := range keys {
			if _, note, err := f.engine.Connect().AcquireNoted(t.Context(), fmt.Sprint("taskvisor/job ", i), "next", ttl); err != nil || note != "100" {
				t.Fatalf("job %d: %q, %v", i, note, err)
			}
		}
		r.conn.Cut(false)
	})
}

// illiterate is a store that cannot write: it refuses, or does not answer.
type illiterate struct {
	*leasetest.Conn
	hangs bool

	mu    sync.Mutex
	tried int
}

var errIlliterate = errors.New("no space")

func (s *illiterate) try(ctx context.Context) error {
	s.mu.Lock()
	s.tried++
	s.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
	}
	return errIlliterate
}

func (s *illiterate) Annotate(ctx context.Context, _ map[string]uint64, _ map[string]string) error {
	return s.try(ctx)
}

func (s *illiterate) ReleaseNoted(context.Context, string, uint64, string) error {
	return errIlliterate
}

// Notes that cannot be written cost no lease: what fails is said once, and renewals and
// releases go on.
func TestNoteThatCannotBeWritten(t *testing.T) {
	for name, hangs := range map[string]bool{"refused": false, "hanging": true} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 2, func(t *testing.T, f *fleet) {
				r := f.all[0]
				store := &illiterate{Conn: r.conn, hangs: hangs}
				r.owner = r.newOwner(store)
				sup, err := taskvisor.New(taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin))
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				ctx, cancel := context.WithCancel(context.Background())
				go func() { done <- sup.Run(ctx, taskvisor.Restartable("job", r.body("job", 0), r.owner.Singleton("job"))) }()
				f.runner("job", nil, time.Second)
				f.all[1].add("job", 0)
				time.Sleep(10 * ttl)
				if lost := r.saw(lease.Lost, lease.RenewFailed); len(lost) != 0 {
					t.Errorf("%+v", lost)
				}
				if failed := r.saw(lease.StoreFailed); len(failed) != 1 || !errors.Is(failed[0].Err, errIlliterate) {
					t.Errorf("failed: %+v", failed)
				}
				store.mu.Lock()
				if tried := store.tried; tried < 25 || tried > 51 {
					t.Errorf("tried %d times in ten ttl", tried)
				}
				store.mu.Unlock()
				for _, e := range r.saw(lease.Renewed) {
					if want := ttl*3/4 - fifth; e.Margin != want {
						t.Errorf("renewed with %s left, want %s", e.Margin, want)
					}
				}
				cancel()
				if _, took := f.runner("job", r, ttl); took > ttl/10 {
					t.Errorf("the handover took %s", took)
				}
				<-done
			})
		})
	}
}

// A store that keeps none, a slot and a task without a lease have no notes; one that the
// store has already is not written.
func TestNoNotes(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		if _, err := r.submit(t.Context(), "submitted", "s", taskvisor.Queue); err != nil {
			t.Fatal(err)
		}
		deaf := &replica{f: f, name: "deaf", conn: f.engine.Connect()}
		deaf.owner = deaf.newOwner(deaf.conn.Polled())
		sup, err := taskvisor.New(taskvisor.WithSubscriber(deaf.owner.Subscriber()), taskvisor.WithGrace(margin))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- sup.Run(ctx, taskvisor.Restartable("job", deaf.body("job", 0), deaf.owner.Singleton("job")))
		}()
		time.Sleep(5 * ttl)
		cancel()
		<-done
		c := f.engine.Connect()
		token, err := c.Acquire(t.Context(), "taskvisor/same", "before", ttl)
		if err == nil {
			err = c.ReleaseNoted(t.Context(), "taskvisor/same", token, "as before")
		}
		if err != nil {
			t.Fatal(err)
		}
		noting(r, "same", map[time.Duration]string{0: "as before"})
		time.Sleep(ttl)
		if written := f.engine.Annotations(); len(written) != 0 {
			t.Errorf("written: %v", written)
		}
		if _, note, err := f.engine.Connect().AcquireNoted(t.Context(), "taskvisor/job", "next", ttl); err != nil || note != "" {
			t.Errorf("%q, %v", note, err)
		}
		if err := (lease.Term{}).Note("x"); err != nil {
			t.Error(err)
		}
	})
}

// A note is short text, whoever leaves it; what somebody else has made of it is none.
func TestNoteText(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		for text, good := range map[string]bool{
			"": true, "ünï": true, strings.Repeat("n", 256): true,
			strings.Repeat("n", 257): false, "a\nb": false, "\xff": false,
		} {
			if err := (lease.Term{}).Note(text); (err == nil) != good {
				t.Errorf("%q: %v", text, err)
			}
		}
		c := f.engine.Connect()
		for key, note := range map[string]string{"good": "left", "long": strings.Repeat("n", 257), "odd": "a\nb"} {
			token, err := c.Acquire(t.Context(), "taskvisor/"+key, "before", ttl)
			if err == nil {
				err = c.ReleaseNoted(t.Context(), "taskvisor/"+key, token, note)
			}
			if err != nil {
				t.Fatal(err)
			}
			var p finder
			p.add(f.all[0], key)
			time.Sleep(time.Second)
			want := []string{""}
			if key == "good" {
				want[0] = note
			}
			if found := p.has(); !slices.Equal(found, want) {
				t.Errorf("%s: %q", key, found)
			}
		}
	})
}
