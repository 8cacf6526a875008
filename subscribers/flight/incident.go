package flightsub

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Incident is the entry of a list: see [Recorder.List]. Its fields are those of the
// live page's Incident, so that one converts to the other.
type Incident struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	Supervisor string    `json:"supervisor,omitzero"`
	Task       string    `json:"task,omitzero"`
	Kind       string    `json:"kind"`            // the label of the trigger
	Reason     string    `json:"reason,omitzero"` // why the task was stopped, if it was
	Bytes      int64     `json:"bytes,omitzero"`
}

// document is incident.json.
type document struct {
	Version int `json:"version"`
	Incident
	GoVersion  string                    `json:"go_version"`
	Suppressed int                       `json:"suppressed,omitzero"` // incidents left out since the last one
	Event      json.RawMessage           `json:"event"`
	Policy     string                    `json:"policy,omitzero"` // in words
	Status     json.RawMessage           `json:"status,omitempty"`
	Ended      *taskvisor.EndedTask      `json:"ended,omitempty"` // if the task is gone already
	Running    []json.RawMessage         `json:"still_running,omitempty"`
	Supervised map[taskvisor.State]int   `json:"tasks_by_state"`
	State      taskvisor.SupervisorState `json:"supervisor_state,omitzero"`
	LastEvents []lineJSON                `json:"last_events"`
	Error      *node                     `json:"error_tree,omitempty"`
	LeftOut    []string                  `json:"left_out,omitempty"` // what there was too much of
	Trace      string                    `json:"trace"`              // trace.out, or why there is none
}

type lineJSON struct {
	Seq      uint64               `json:"seq"`
	Time     time.Time            `json:"time"`
	Kind     taskvisor.EventKind  `json:"kind"`
	Attempt  int                  `json:"attempt,omitzero"`
	Result   taskvisor.ResultKind `json:"result,omitzero"`
	Duration float64              `json:"duration_seconds,omitzero"`
	Delay    float64              `json:"delay_seconds,omitzero"`
	Error    string               `json:"error,omitzero"`
}

// maxPart is how many bytes of JSON a status, the list of those that still run and the tree
// of the error have at most, each. With the other parts, which are bounded by maxText and
// maxStack, an incident comes to less than half of leastBytes: it fits beside a recording.
const maxPart = 32 << 10

// worthDeflating is the least size of a part that is compressed: a compressor needs
// more than a megabyte.
const worthDeflating = 16 << 10

// keep makes an incident and stores it.
func (r *Recorder) keep(t Trigger, e *taskvisor.Event, s *story, suppressed int) (Incident, error) {
	in := Incident{ID: r.store.newID(t, e.Time), Time: e.Time.UTC().Round(0), Supervisor: e.Supervisor, Task: e.Task, Kind: t.String()}
	if e.Reason != 0 {
		in.Reason = e.Reason.String()
	}
	recording, why := r.recording() // first: the window moves on
	d := document{Version: 1, Incident: in, GoVersion: runtime.Version(), Suppressed: suppressed, Trace: why}
	d.Error = r.tree(&d, e.Err)
	stacks := r.describe(&d, e, s)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	text, err := json.MarshalIndent(&d, "", "  ")
	if err != nil {
		return in, fmt.Errorf("flightsub: %w", err)
	}
	for _, part := range []struct {
		name string
		data []byte
	}{{documentName, text}, {stacksName, []byte(stacks)}, {traceName, recording}} {
		if len(part.data) == 0 {
			continue
		}
		method := zip.Deflate
		if len(part.data) < worthDeflating {
			method = zip.Store
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: part.name, Method: method, Modified: in.Time})
		if err == nil {
			_, err = w.Write(part.data)
		}
		if err != nil {
			return in, fmt.Errorf("flightsub: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return in, fmt.Errorf("flightsub: %w", err)
	}
	in.Bytes = int64(b.Len())
	return in, r.store.add(in, b.Bytes())
}

// describe adds what is known of the task and the supervisor, and returns the stacks.
func (r *Recorder) describe(d *document, e *taskvisor.Event, s *story) (stacks string) {
	sn := r.snapshot(e)
	d.State, d.Supervised = sn.State, map[taskvisor.State]int{}
	stacks = e.Stack
	var own taskvisor.TaskStatus // of the task; the zero value if it is gone
	for i := range sn.Tasks {
		d.Supervised[sn.Tasks[i].State]++
		if sn.Tasks[i].ID == e.TaskID {
			own = sn.Tasks[i]
		}
	}
	if own.ID != 0 {
		stacks = cmp.Or(stacks, own.Stack)
		if d.Status = r.shown(&own); len(d.Status) > maxPart {
			d.Status = nil
			d.LeftOut = append(d.LeftOut, "status")
		}
	}
	if e.TaskID != 0 {
		d.Policy = clip(e.Spec().String(), maxText)
	}
	for i := range sn.Recent {
		if sn.Recent[i].ID == e.TaskID && e.TaskID != 0 {
			d.Ended = &sn.Recent[i]
			d.Ended.Error = r.text(e.Err)
		}
	}
	var grace *taskvisor.GraceExceededError
	if e.Kind == taskvisor.GraceExceeded && errors.As(e.Err, &grace) {
		stacks = r.running(d, grace.Tasks)
	}
	// Of many that hang most come without, and to wait for each would take up the drain.
	if stacks == "" && own.Handle != nil && !own.AttemptStart.IsZero() && sn.State == taskvisor.SupervisorRunning {
		ctx, cancel := context.WithTimeout(context.Background(), stackPatience)
		stacks, _ = own.Handle.Stacks(ctx) // it may be back by now: then there are none
		cancel()
	}
	for _, l := range s.last() {
		d.LastEvents = append(d.LastEvents, lineJSON{l.seq, l.at.UTC().Round(0), l.kind, l.attempt, l.result, l.duration.Seconds(), l.delay.Seconds(), l.text})
	}
	d.Event = r.event(e)
	return r.stack(stacks)
}

// running lists those that still run, as far as there is room, and returns their stacks.
func (r *Recorder) running(d *document, tasks []taskvisor.TaskStatus) (stacks string) {
	var all strings.Builder
	room, noStack := maxPart, 0
	for i := range tasks {
		st := &tasks[i]
		if all.Len() < maxStack {
			fmt.Fprintf(&all, "%s, task %d, attempt %d:\n%s\n", st.Name, st.ID, st.Attempt, st.Stack)
		} else {
			noStack++
		}
		if room > 0 { // until one does not fit
			text := r.shown(st)
			if room -= len(text); room >= 0 {
				d.Running = append(d.Running, text)
			}
		}
	}
	d.leaveOut(len(tasks)-len(d.Running), "still_running")
	d.leaveOut(noStack, stacksName)
	return all.String()
}

// leaveOut says that n of a list are not in the document.
func (d *document) leaveOut(n int, of string) {
	if n > 0 {
		d.LeftOut = append(d.LeftOut, fmt.Sprintf("%d of %s", n, of))
	}
}

// stackPatience is how long an incident waits for stacks that no event brings.
const stackPatience = 2 * time.Second

// shown is a status with its error as it may be shown, and without its stack.
func (r *Recorder) shown(st *taskvisor.TaskStatus) json.RawMessage {
	c := *st
	c.Stack = ""
	if r.format != nil {
		c.LastError = r.text(c.LastErr)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil
	}
	return text
}

// event is the event with its error as it may be shown, and without its stack.
func (r *Recorder) event(e *taskvisor.Event) json.RawMessage {
	c := *e
	c.Stack = ""
	if c.Err != nil {
		c.Err = errors.New(r.text(c.Err))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil
	}
	return text
}

// recording is what the flight recorder has, or why it is not there.
func (r *Recorder) recording() (data []byte, why string) {
	if r.flight == nil {
		return nil, "no flight recorder was given"
	}
	w := limited{left: r.maxBytes / 2}
	if _, err := r.flight.WriteTo(&w); err != nil {
		return nil, err.Error()
	}
	return w.buf.Bytes(), traceName
}

// limited is a buffer that refuses what is too much.
type limited struct {
	buf  bytes.Buffer
	left int64
}

var errTooLarge = errors.New("the recording is larger than half of what may be kept")

func (w *limited) Write(b []byte) (int, error) {
	if int64(len(b)) > w.left {
		return 0, errTooLarge
	}
	w.left -= int64(len(b))
	return w.buf.Write(b)
}

var _ io.Writer = (*limited)(nil)

// clip returns valid UTF-8 of about n bytes at most that keeps nothing else alive.
func clip(s string, n int) string {
	long := len(s) > n
	s = strings.ToValidUTF8(s[:min(len(s), n)], "\uFFFD")
	if long || len(s) > n { // what stands for a byte may be longer than it was
		return strings.ToValidUTF8(s[:min(len(s), n)], "") + "…"
	}
	return strings.Clone(s)
}
