package livesub

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// maxEvents is how many lines one answer has; who wants more asks again.
const maxEvents = 1000

// recordView is an event as the page shows it, under the names of [taskvisor.Event].
type recordView struct {
	Seq        uint64           `json:"seq,omitzero"`
	Time       time.Time        `json:"time"`
	Kind       string           `json:"kind"`
	Supervisor string           `json:"supervisor"`
	Task       string           `json:"task,omitzero"`
	TaskKind   string           `json:"task_kind,omitzero"`
	TaskID     taskvisor.TaskID `json:"task_id,omitzero"`
	Attempt    int32            `json:"attempt,omitzero"`
	Result     string           `json:"result,omitzero"`
	Outcome    string           `json:"outcome,omitzero"`
	Reason     string           `json:"reason,omitzero"`
	Source     string           `json:"source,omitzero"`
	Slot       string           `json:"slot,omitzero"`
	Admission  string           `json:"admission,omitzero"`
	Gate       string           `json:"gate,omitzero"`
	Stage      int              `json:"stage,omitzero"`
	Stages     int              `json:"stages,omitzero"`
	Verdict    string           `json:"verdict,omitzero"`
	From       string           `json:"from,omitzero"`
	To         string           `json:"to,omitzero"`
	Owner      taskvisor.TaskID `json:"owner,omitzero"`
	Queued     int              `json:"queued,omitzero"`
	Duration   float64          `json:"duration_seconds,omitzero"`
	Delay      float64          `json:"delay_seconds,omitzero"`
	Timeout    float64          `json:"timeout_seconds,omitzero"`
	ExitCode   *int             `json:"exit_code,omitempty"` // 0 is one
	Subscriber string           `json:"subscriber,omitzero"`
	Dropped    uint64           `json:"dropped,omitzero"`
	FirstSeq   uint64           `json:"first_seq,omitzero"`
	LastSeq    uint64           `json:"last_seq,omitzero"`
	Error      string           `json:"error,omitzero"`
}

func (r *record) view() recordView {
	v := recordView{
		Seq: r.seq, Time: time.Unix(0, r.at).UTC(), Kind: r.kind.String(), Supervisor: r.who.supervisor, Task: r.who.task,
		TaskKind: r.who.kind, TaskID: r.who.id, Attempt: r.attempt, Result: r.result.String(), Outcome: r.outcome.String(),
		Reason: r.reason.String(), Source: r.source.String(), Duration: r.duration.Seconds(), Delay: r.delay.Seconds(),
		Error: r.text,
	}
	m := r.more
	if m == nil {
		return v
	}
	v.Slot, v.Gate, v.Stage, v.Stages, v.Verdict = m.slot, m.gate, m.stage, m.stages, m.verdict.String()
	if m.slot != "" {
		v.Admission = m.admission.String()
	}
	v.From, v.To, v.Owner, v.Queued, v.Timeout = m.from.String(), m.to.String(), m.owner, m.queued, m.timeout.Seconds()
	v.Subscriber, v.Dropped, v.FirstSeq, v.LastSeq = m.subscriber, m.dropped, m.firstSeq, m.lastSeq
	if m.exited {
		v.ExitCode = &m.exit
	}
	return v
}

// words says on one line what an event adds to its kind.
func (v recordView) Words() string {
	var b strings.Builder
	say := func(key, value string) {
		if value != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(key + value)
		}
	}
	if v.Attempt != 0 {
		say("attempt ", strconv.Itoa(int(v.Attempt)))
	}
	say("", v.Result)
	say("", v.Outcome)
	say("", v.Reason)
	say("", v.Verdict)
	say("gate ", v.Gate)
	say("slot ", v.Slot)
	if v.Delay != 0 {
		say("in ", short(seconds(v.Delay)))
	}
	switch d := seconds(v.Duration); {
	case d < time.Millisecond: // of what has just begun: nothing worth a word
	case v.Kind == taskvisor.TaskStarting.String() || v.Kind == taskvisor.TaskAdded.String():
		say("waited ", short(d))
	default:
		say("after ", short(d))
	}
	if v.Kind != taskvisor.BackoffScheduled.String() { // the event before it has said so
		say("– ", v.Error)
	}
	return b.String()
}

// events answers ./events: the events of one supervisor after a number, as lines of
// JSON, oldest first; all if the number is beyond its last, as it is then of another life
// of the name. A number that is missing at the front was forgotten.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	after, afterErr := uint64(0), error(nil)
	if s := v.Get("after"); s != "" {
		after, afterErr = strconv.ParseUint(s, 10, 64)
	}
	if err != nil || afterErr != nil {
		refuse(w, http.StatusBadRequest, "after is the number of an event")
		return
	}
	name := v.Get("supervisor")
	last := map[string]uint64{} // by name, of the latest supervisor
	for _, s := range p.snapshots() {
		last[s.Supervisor] = s.Seq
	}
	if name == "" {
		if len(last) > 1 {
			refuse(w, http.StatusBadRequest, "there are several supervisors: name one by supervisor=NAME")
			return
		}
		for only := range last {
			name = only
		}
	}
	tag := `W/"` + strconv.FormatUint(p.past.count(), 16) + `"` // events may come out of order
	found := p.past.after(name, after, last[name])
	slices.SortFunc(found, func(a, b record) int { return cmp.Compare(a.seq, b.seq) }) // as numbered, not as delivered
	found = found[:min(maxEvents, len(found))]
	if unchanged(w, r, tag) {
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i := range found {
		if err := enc.Encode(found[i].view()); err != nil {
			refuse(w, http.StatusInternalServerError, "an event could not be written")
			return
		}
	}
	send(w, r, "application/x-ndjson", b.Bytes())
}
