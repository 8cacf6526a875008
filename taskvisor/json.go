package taskvisor

import (
	"bytes"
	"encoding/json"
	"time"
)

// object is a JSON object whose members keep their order.
type object struct {
	buf bytes.Buffer
	err error
}

// set adds a member.
func (o *object) set(key string, v any) {
	if o.err != nil {
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		o.err = err
		return
	}
	if o.buf.Len() > 0 {
		o.buf.WriteByte(',')
	}
	name, _ := json.Marshal(key) // a string: it cannot fail
	o.buf.Write(name)
	o.buf.WriteByte(':')
	o.buf.Write(text)
}

// setIf adds a member that is not zero.
func setIf[T comparable](o *object, key string, v T) {
	var zero T
	if v != zero {
		o.set(key, v)
	}
}

func (o *object) setTime(key string, t time.Time) {
	if !t.IsZero() {
		o.set(key, t.Round(0))
	}
}

func (o *object) setSeconds(key string, d time.Duration) {
	if d != 0 {
		o.set(key+"_seconds", d.Seconds())
	}
}

func (o *object) bytes() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	return append(append([]byte{'{'}, o.buf.Bytes()...), '}'), nil
}

// MarshalJSON implements [json.Marshaler]; see [Snapshot].
func (sn Snapshot) MarshalJSON() ([]byte, error) {
	o := object{}
	o.set("supervisor", sn.Supervisor)
	o.set("seq", sn.Seq)
	o.setTime("time", sn.Time)
	o.setTime("created", sn.Created)
	o.set("state", sn.State)
	o.setTime("stop_since", sn.StopSince)
	o.setTime("stop_by", sn.StopBy)
	o.setSeconds("stop_took", sn.StopTook)
	setIf(&o, "max_concurrent", sn.MaxConcurrent)
	o.set("in_use", sn.InUse)
	o.set("added", sn.Added)
	o.set("removed", sn.Removed)
	o.set("started", sn.Started)
	o.set("ended", sn.Ended)
	setIf(&o, "released", sn.Released)
	o.set("submitted", sn.Submitted)
	o.set("rejected", sn.Rejected)
	o.set("joined", sn.Joined)
	o.set("from_slots", sn.FromSlots)
	o.set("tasks", orEmpty(sn.Tasks))
	o.set("slots", orEmpty(sn.Slots))
	o.set("subscribers", orEmpty(sn.Subscribers))
	o.set("recent", orEmpty(sn.Recent))
	return o.bytes()
}

// orEmpty shows no entries as [] instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// MarshalJSON implements [json.Marshaler]; see [Snapshot].
func (st TaskStatus) MarshalJSON() ([]byte, error) {
	o := object{}
	o.set("id", st.ID)
	o.set("name", st.Name)
	setIf(&o, "kind", st.Kind)
	setIf(&o, "slot", st.Slot)
	o.set("seq", st.Seq)
	o.set("state", st.State)
	o.setTime("since", st.Since)
	o.setTime("added", st.Added)
	setIf(&o, "added_from", st.AddedFrom)
	setIf(&o, "gate", st.Gate)
	o.set("attempt", st.Attempt)
	o.setTime("attempt_start", st.AttemptStart)
	setIf(&o, "streak", st.Streak)
	setIf(&o, "stuck", st.Stuck)
	o.set("ready", st.Ready)
	setIf(&o, "note", st.Note)
	o.setTime("note_time", st.NoteTime)
	o.setSeconds("delay", st.Delay)
	o.setTime("next_start", st.NextStart)
	o.setTime("stop_by", st.StopBy)
	o.set("results", st.Results)
	setIf(&o, "last_result", st.LastResult)
	setIf(&o, "last_error", st.LastError)
	o.setTime("last_success", st.LastSuccess)
	o.set("policy", st.Spec)
	setIf(&o, "stack", st.Stack)
	return o.bytes()
}

// MarshalJSON shows the counts that are not zero.
func (c ResultCounts) MarshalJSON() ([]byte, error) {
	o := object{}
	for k := ResultSuccess; k <= ResultCanceled; k++ {
		setIf(&o, k.String(), c.Of(k))
	}
	return o.bytes()
}

// Of returns the count of one result.
func (c ResultCounts) Of(k ResultKind) uint64 {
	switch k {
	case ResultSuccess:
		return c.Success
	case ResultFailure:
		return c.Failure
	case ResultFatal:
		return c.Fatal
	case ResultTimeout:
		return c.Timeout
	case ResultPanic:
		return c.Panic
	case ResultCanceled:
		return c.Canceled
	}
	return 0
}

// MarshalJSON implements [json.Marshaler]; see [Snapshot].
func (e EndedTask) MarshalJSON() ([]byte, error) {
	o := object{}
	o.set("id", e.ID)
	o.set("name", e.Name)
	setIf(&o, "kind", e.Kind)
	setIf(&o, "slot", e.Slot)
	o.set("attempts", e.Attempts)
	o.set("outcome", e.Outcome)
	setIf(&o, "reason", e.Reason)
	setIf(&o, "error", e.Error)
	o.setTime("added", e.Added)
	o.setTime("started", e.Started)
	o.setTime("ended", e.Ended)
	return o.bytes()
}

// MarshalJSON implements [json.Marshaler]; see [Snapshot].
func (st SlotStatus) MarshalJSON() ([]byte, error) {
	o := object{}
	o.set("key", st.Key)
	o.set("state", st.State)
	o.set("owner", st.Owner)
	o.set("queued", st.Queued)
	o.setTime("oldest", st.Oldest)
	return o.bytes()
}

// MarshalJSON implements [json.Marshaler]; see [Snapshot].
func (st SubscriberStatus) MarshalJSON() ([]byte, error) {
	o := object{}
	o.set("name", st.Name)
	o.set("inline", st.Inline)
	o.set("queued", st.Queued)
	setIf(&o, "capacity", st.Capacity)
	o.set("delivered", st.Delivered)
	if len(st.Dropped) > 0 {
		o.set("dropped", st.Dropped)
	}
	o.set("panics", st.Panics)
	o.set("failures", st.Failures)
	return o.bytes()
}

// MarshalJSON shows an outcome as events are shown: see [Event]. It calls the Error
// method of Err, and leaves Value out.
func (o Outcome) MarshalJSON() ([]byte, error) {
	w := object{}
	w.set("outcome", o.Kind)
	setIf(&w, "reason", o.Reason)
	if o.Err != nil {
		w.set("error", o.Err.Error())
	}
	w.set("attempts", o.Attempts)
	w.setTime("started", o.Started)
	w.setTime("ended", o.Ended)
	if code, ok := o.ExitCode(); ok {
		w.set("exit_code", code)
	}
	setIf(&w, "stack", o.Stack)
	return w.bytes()
}

// MarshalJSON shows the effective policy.
func (s TaskSpec) MarshalJSON() ([]byte, error) {
	o := object{}
	for _, a := range s.attrs() {
		if d, ok := a.Value.Any().(time.Duration); ok {
			o.setSeconds(a.Key, d)
			continue
		}
		o.set(a.Key, a.Value.Any())
	}
	return o.bytes()
}
