package livesub

import (
	"context"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	maxText  = 2 << 10 // bytes of an error that are kept
	maxTrace = 64      // bytes of a trace id
	maxLink  = 1 << 10 // bytes of the address of a trace
)

// record is an event without what would keep alive more than itself: the error is
// text, and there are no stacks.
type record struct {
	seq             uint64
	at              int64 // Unix time in nanoseconds
	duration, delay time.Duration
	who             *identity
	text            string // of the error
	more            *more  // nil for most
	attempt         int32
	kind            taskvisor.EventKind
	result          taskvisor.ResultKind
	outcome         taskvisor.OutcomeKind
	reason          taskvisor.Reason
	source          taskvisor.BackoffSource
}

// more is what few events have.
type more struct {
	timeout                    time.Duration
	slot, gate, subscriber     string
	owner                      taskvisor.TaskID
	admission                  taskvisor.Admission
	verdict                    taskvisor.Verdict
	from, to                   taskvisor.SlotState
	queued, stage, stages      int
	dropped, firstSeq, lastSeq uint64
	exit                       int
	exited                     bool
}

func newRecord(e *taskvisor.Event, who *identity, text string) record {
	r := record{
		seq: e.Seq, at: e.Time.UnixNano(), duration: e.Duration, delay: e.Delay, who: who, text: text,
		attempt: int32(e.Attempt), kind: e.Kind, result: e.Result, outcome: e.Outcome, reason: e.Reason, source: e.Source,
	}
	m := more{
		timeout: e.Timeout, slot: e.Slot, gate: e.Gate, subscriber: e.Subscriber, owner: e.Owner, admission: e.Admission,
		verdict: e.Verdict, from: e.From, to: e.To, queued: e.Queued, stage: e.Stage, stages: e.Stages,
		dropped: e.Dropped, firstSeq: e.FirstSeq, lastSeq: e.LastSeq,
	}
	m.exit, m.exited = e.ExitCode()
	if m != (more{}) {
		kept := m // only this one is worth an allocation
		r.more = &kept
	}
	return r
}

// OnEvent takes note of an event. It implements [taskvisor.Subscribe]; the functions
// given to [WithErrorFormatter], [WithTraceLabels] and [WithTraceLink] are called
// here, and nowhere else.
func (p *Page) OnEvent(ctx context.Context, e taskvisor.Event) {
	var t *trace
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		t = p.trace(ctx)
	}
	p.past.add(&e, p.text(e.Err), t)
}

// text returns what is shown of an error.
func (p *Page) text(err error) (text string) {
	if err == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			text = "(the error's text could not be had: it panicked)"
		}
	}()
	if p.format != nil {
		return clip(p.format(err), maxText)
	}
	return clip(err.Error(), maxText)
}

// trace returns where the trace of an attempt is found, as far as the program says.
func (p *Page) trace(ctx context.Context) (t *trace) {
	if p.labels == nil {
		return nil
	}
	defer func() { _ = recover() }() // an attempt without a link is still shown
	id := clip(p.labels(ctx)["trace_id"], maxTrace)
	if id == "" {
		return nil
	}
	t = &trace{id: id}
	if p.link == nil {
		return t
	}
	link := p.link(id)
	if web := strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://"); web && len(link) <= maxLink {
		t.link = strings.Clone(link)
	}
	return t
}

// clip returns valid UTF-8 of about n bytes at most that keeps nothing else alive.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.Clone(strings.ToValidUTF8(s, "\uFFFD"))
}
