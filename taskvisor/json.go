package taskvisor

import (
	"bytes"
	"encoding/json"
	"time"
)

// object is a JSON object whose members keep their order, as those of a map would not. The
// zero value is empty.
type object struct {
	buf bytes.Buffer // members without the braces
	err error        // of the first member that cannot be marshaled; the rest is left out then
}

// set adds a member. No key is set twice.
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

// bytes returns the whole object.
func (o *object) bytes() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	return append(append([]byte{'{'}, o.buf.Bytes()...), '}'), nil
}

// MarshalJSON implements [json.Marshaler]; see [Snapshot].
func (sn Snapshot) MarshalJSON() ([]byte, error) {
	type plain Snapshot // the fields without this method, which would call itself
	sn.Slots, sn.Subscribers = orEmpty(sn.Slots), orEmpty(sn.Subscribers)
	sn.Tasks, sn.Recent = orEmpty(sn.Tasks), orEmpty(sn.Recent)
	return json.Marshal(struct {
		plain
		StopTook float64 `json:"stop_took_seconds,omitzero"`
	}{plain(sn), sn.StopTook.Seconds()})
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
	type plain TaskStatus
	return json.Marshal(struct {
		plain
		Delay float64 `json:"delay_seconds,omitzero"`
	}{plain(st), st.Delay.Seconds()})
}

// MarshalJSON shows an outcome as events are shown: see [Event]. It calls the Error
// method of Err, and leaves Value out.
func (o Outcome) MarshalJSON() ([]byte, error) {
	type plain Outcome // without this method; Err below takes the place of its Err
	w := struct {
		plain
		Err  string `json:"error,omitempty"`
		Code *int   `json:"exit_code,omitempty"` // nil: none; 0 is a code and is shown
	}{plain: plain(o)}
	if o.Err != nil {
		w.Err = o.Err.Error()
	}
	if code, ok := o.ExitCode(); ok {
		w.Code = &code
	}
	return json.Marshal(w)
}

// MarshalJSON shows the effective policy.
func (s TaskSpec) MarshalJSON() ([]byte, error) {
	o := object{}
	for _, a := range s.attrs() {
		if d, ok := a.Value.Any().(time.Duration); ok {
			o.set(a.Key+"_seconds", d.Seconds())
			continue
		}
		o.set(a.Key, a.Value.Any())
	}
	return o.bytes()
}
