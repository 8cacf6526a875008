package leasetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// The checks of this file are of stores that keep notes.

// noter is the owner's store, if it keeps notes; the check is skipped otherwise.
func (o *owner) noter() lease.Noter {
	o.s.Helper()
	n, ok := o.Store.(lease.Noter)
	if !ok {
		o.s.Skip("the store keeps no notes")
	}
	return n
}

// finds waits until the lease can be had, and demands that this note was left with it.
func (o *owner) finds(key, want string) uint64 {
	o.s.Helper()
	n, limit := o.noter(), o.s.e.TTL+o.s.e.Late
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		token, note, err := n.AcquireNoted(context.Background(), key, o.id, o.s.e.TTL)
		switch {
		case err == nil:
			if note != want {
				o.s.Errorf("%q comes with the note %q, want %q", key, note, want)
			}
			return token
		case !errors.Is(err, lease.ErrHeld):
			o.s.Fatalf("acquire: %v", err)
		case note != "" || token != 0:
			o.s.Fatalf("with the error %v it returns token %d, note %q", err, token, note)
		case time.Since(begun) > limit:
			o.s.Fatalf("%q is not free after %s", key, limit)
		}
	}
}

// leaves leaves a note.
func (o *owner) leaves(key string, token uint64, note string) {
	o.s.Helper()
	if err := o.noter().Annotate(context.Background(), map[string]uint64{key: token}, map[string]string{key: note}); err != nil {
		o.s.Fatalf("annotate: %v", err)
	}
}

// releases gives the lease back, and leaves a note.
func (o *owner) releases(key string, token uint64, note string) {
	o.s.Helper()
	if err := o.noter().ReleaseNoted(context.Background(), key, token, note); err != nil {
		o.s.Fatalf("release: %v", err)
	}
}

// A note is there for every owner until another is left: over an expiry, of which nobody
// says anything, over releases and acquisitions, and the owner's own.
func (s *suite) notesStay() {
	a, b := s.open(), s.open()
	killed, key := s.key("killed"), s.key("k")
	first := a.finds(killed, "")
	a.leaves(killed, first, "one")
	a.leaves(killed, first, "two")
	token := a.finds(key, "")
	a.releases(key, token, "released")
	token = b.finds(key, "released")
	b.release(key, token) // without a word
	token = a.finds(key, "released")
	a.leaves(key, token, "again")
	token = a.finds(key, "again") // it is ours, and taken anew
	a.releases(key, token, "")
	b.finds(key, "")
	second := b.finds(killed, "two") // now that it has expired
	if second <= first {
		s.Errorf("token %d after %d", second, first)
	}
	if _, _, err := a.noter().AcquireNoted(context.Background(), killed, a.id, s.e.TTL); !errors.Is(err, lease.ErrHeld) {
		s.Errorf("acquire what is held: %v", err)
	}
	b.nobody()
	a.finds(killed, "two") // of the one before the one before, who has left none
}

// What an owner leaves that has the lease no more is nobody's note, and harms nobody.
func (s *suite) staleNotes() {
	a, b := s.open(), s.open()
	for name, stale := range map[string]func(o *owner, key string, token uint64, note string){
		"annotated": (*owner).leaves, "released": (*owner).releases,
	} {
		key, own, ended := s.key(name), s.key(name+" own"), s.key(name+" ended")
		first := a.finds(key, "")
		a.release(key, first)
		second := b.finds(key, "")
		b.leaves(key, second, "b's")
		stale(a, key, first, "late")
		a.refused(key)
		b.release(key, second)
		a.finds(key, "b's")

		older := a.finds(own, "")
		newer := a.finds(own, "") // the same owner, another token
		a.leaves(own, newer, "newer")
		stale(a, own, older, "older")
		b.refused(own)
		a.release(own, newer)
		b.finds(own, "newer")

		token := a.finds(ended, "")
		a.releases(ended, token, "last")
		stale(a, ended, token, "after the end")
		stale(a, s.key(name+" never"), 1, "never held")
		b.finds(ended, "last")
		b.finds(s.key(name+" never"), "")
	}
}

// A lease that is not renewed expires, whatever is left with it.
func (s *suite) notesProlongNothing() {
	a, b := s.open(), s.open()
	key := s.key("k")
	token := a.finds(key, "")
	for begun, n := time.Now(), 0; ; time.Sleep(s.e.TTL / 8) {
		n++
		note := fmt.Sprint("note ", n)
		a.leaves(key, token, note)
		if _, free := b.try(key); free {
			return
		}
		if limit := s.e.TTL + s.e.Late; time.Since(begun) > limit {
			s.Fatalf("%q is not free after %s", key, limit)
		}
	}
}

// A hundred notes come with one request, of any text and key, and among them those of
// leases that are held no more.
func (s *suite) manyNotes() {
	a, b := s.open(), s.open()
	odd := []string{"ünï/ö", `it's "a" \ 100%_x`, " ", strings.Repeat("n", 256), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	held, notes := make(map[string]uint64), make(map[string]string)
	var gone []string
	for i := range min(100, s.e.Keys) {
		key := s.key(fmt.Sprintf("it's %d_%%", i))
		token, err := a.Acquire(context.Background(), key, a.id, time.Minute)
		if err != nil {
			s.Fatal(err)
		}
		held[key], notes[key] = token, fmt.Sprint(odd[i%len(odd)])
		if i%10 == 9 {
			a.release(key, token)
			gone = append(gone, key)
		}
	}
	begun := time.Now()
	if err := a.noter().Annotate(context.Background(), held, notes); err != nil {
		s.Fatalf("annotate: %v", err)
	}
	s.Logf("%d notes left in %s", len(notes), time.Since(begun))
	if err := a.noter().Annotate(context.Background(), nil, nil); err != nil {
		s.Errorf("annotate nothing: %v", err)
	}
	for _, key := range gone {
		b.finds(key, "")
		delete(held, key)
	}
	if lost := a.renew(held); len(lost) != 0 {
		s.Fatalf("lost %q", lost)
	}
	for key, token := range held {
		a.release(key, token)
		b.finds(key, notes[key])
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := a.noter().AcquireNoted(ctx, s.key("k"), a.id, s.e.TTL); err == nil || errors.Is(err, lease.ErrHeld) {
		s.Errorf("acquire with a context that has ended: %v", err)
	}
	if err := a.noter().Annotate(ctx, map[string]uint64{s.key("k"): 1}, map[string]string{s.key("k"): "x"}); err == nil {
		s.Error("annotate with a context that has ended: no error")
	}
}
