package lease

import (
	"context"
	"fmt"
	"time"
)

const (
	maxNoteBytes = 256
	maxNotes     = 100 // with one request; etcd compares 128 tokens at most
)

// Note leaves a note for whoever has the lease next: the first attempt under the next token,
// in this process or another, finds it in [Term.Previous]. The latest note counts; "" takes
// back what was left. An error says what is wrong with the text, which follows the rules for
// keys and has at most 256 bytes.
//
// It returns at once, and nothing waits for it to be written: a note is in the store some
// milliseconds later, or, after another one, within a fifth of the TTL; with more than a
// hundred leases in several of these. It goes with the release of the lease in any case. So
// an owner that is killed has left its latest note but for these times. One that cannot be
// written harms nothing, and is told as [StoreFailed].
//
// Nothing is left where the store is no [Noter], where the attempt has lost its lease to
// another token, and for a slot, whose keys may be without number. Package otelsub leaves the
// attempt's traceparent, for the next owner's spans to link to; whoever else leaves notes
// takes its place.
func (t Term) Note(text string) error {
	if err := validNote(text); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	if t.l == nil || t.l.noter() == nil {
		return nil
	}
	o := t.l.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := t.l; l.token == t.Token {
		l.note, l.noted = text, true
		l.writeLocked()
	}
	return nil
}

func validNote(text string) error {
	if len(text) > maxNoteBytes {
		return fmt.Errorf("note of %d bytes: %d are allowed", len(text), maxNoteBytes)
	}
	if text == "" {
		return nil
	}
	return validKey("note", text)
}

// readable is a note that nobody has made into something else.
func readable(note string) string {
	if validNote(note) != nil {
		return ""
	}
	return note
}

// noter is the store, if it keeps notes and this lease is to have one.
func (l *lease) noter() Noter {
	n, _ := l.o.store.(Noter)
	if mode := modeOf(l.name); mode == ModeSlot || mode == ModePresence {
		return nil
	}
	return n
}

// take asks for the lease, and for the note that was left with it.
func (l *lease) take(ctx context.Context) (token uint64, note string, err error) {
	if n := l.noter(); n != nil {
		return n.AcquireNoted(ctx, l.key, l.o.id, l.o.ttl)
	}
	token, err = l.o.store.Acquire(ctx, l.key, l.o.id, l.o.ttl)
	return token, "", err
}

// giveBack releases the lease, and leaves a note if there is one. If that has failed before,
// the note is one request and the release another: what may be wrong with the former does
// not keep the lease.
func (l *lease) giveBack(ctx context.Context, token uint64, note string, noted, again bool) error {
	if n := l.noter(); n != nil && noted {
		if !again {
			return n.ReleaseNoted(ctx, l.key, token, note)
		}
		soon, cancel := context.WithTimeout(ctx, l.o.ttl/50)
		_ = n.Annotate(soon, map[string]uint64{l.key: token}, map[string]string{l.key: note})
		cancel()
	}
	return l.o.store.Release(ctx, l.key, token)
}

// writeLocked has the lease's note written, unless the store has it.
func (l *lease) writeLocked() {
	if l.noting || !l.unwritten() {
		return
	}
	l.noting = true
	l.o.notes = append(l.o.notes, l)
	l.o.scribe.startLocked(l.o.write)
}

// unwritten reports whether the store may not have the note.
func (l *lease) unwritten() bool { return l.unsure || l.note != l.kept }

// write writes notes until none is left: the first at once, and what has come meanwhile a
// fifth of the ttl later. It is no part of the keeper, whose renewals must not wait for it.
func (o *Owner) write() {
	for next := time.Now(); o.writes(next); {
		if wait := time.Until(next); wait > 0 {
			o.scribe.sleep(wait)
			continue
		}
		next = time.Now().Add(o.every())
		if held, notes := o.unwritten(); len(held) > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), o.patience())
			err := o.store.(Noter).Annotate(ctx, held, notes) // or there would be none to write
			cancel()
			o.wrote(held, notes, err)
		}
	}
}

// writes reports whether there may be something to write, now or at next. If not, the
// scribe has ended.
func (o *Owner) writes(next time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.scribe.on = o.held > 0 && (len(o.notes) > 0 || time.Now().Before(next))
	if !o.scribe.on {
		for _, l := range o.notes {
			l.noting = false
		}
		o.notes = nil
	}
	return o.scribe.on
}

// unwritten takes the notes that are to be written next, of leases that we still have.
func (o *Owner) unwritten() (held map[string]uint64, notes map[string]string) {
	held, notes = make(map[string]uint64), make(map[string]string)
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.notes) > 0 && len(held) < maxNotes {
		l := o.notes[0]
		o.notes = o.notes[1:]
		l.noting = false
		if l.renewable() && l.unwritten() {
			held[l.key], notes[l.key] = l.token, l.note
		}
	}
	return held, notes
}

// wrote notes what the store has. What it could not write waits for its turn again, and so
// does what has come meanwhile.
func (o *Owner) wrote(held map[string]uint64, notes map[string]string, err error) {
	o.do(func(x *acts, now time.Time) {
		o.failed(x, &o.mute, err, now)
		for key, token := range held {
			l := o.leases[key]
			if l == nil || l.token != token {
				continue
			}
			if l.unsure = err != nil; err == nil {
				l.kept = notes[key]
			}
			l.writeLocked()
		}
	})
}
