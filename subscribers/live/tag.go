package livesub

import (
	"fmt"
	"hash/fnv"
	"io"
)

// tag is the ETag of an answer to q: of all that can change without q changing, but not
// of the time, as what depends on that alone every reader can tell for itself, and as the
// times of a snapshot follow corrections of the clock. What comes after the numbers was
// read after them, so that a change on the way makes another tag next time.
func (d *document) tag(q *query, acts bool) string {
	h := fnv.New64a()
	put := func(values ...any) { fmt.Fprintln(h, values...) }
	_, _ = io.WriteString(h, q.raw)
	put(d.heard, d.seqs, acts, d.NeedsTotal)
	for i := range d.Needs {
		n := &d.Needs[i]
		put(n.Problem, n.ID, n.Slot, n.Subscriber, n.Text)
	}
	for i := range d.Supervisors {
		s := &d.Supervisors[i]
		put(s.Name, s.State, s.Seq, s.InUse, s.Total, s.Matching, s.Subscribers)
		for j := range s.Tasks {
			t := &s.Tasks[j] // notes and readiness change without an event
			_, _ = io.WriteString(h, t.Note)
			put(t.ID, t.Streak, t.Ready, t.Problem)
		}
	}
	for _, in := range d.Incidents {
		_, _ = io.WriteString(h, in.ID)
	}
	put(d.Sections)
	if d.Detail != nil {
		put(d.Detail.ID, len(d.Detail.Stack), d.Stacks, d.Skipped)
		if t := d.Detail.Status; t != nil {
			put(t.Note, t.Streak, t.Ready, t.Problem, t.text)
		}
	}
	return fmt.Sprintf(`W/"%x"`, h.Sum64())
}
