package slogsub_test

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// recorder is a handler that keeps its records, a line each:
//
//	LEVEL message key=value …
//
// with "; ctx=…" behind it if the context carried a value under ctxKey{}.
type recorder struct {
	level slog.Level

	mu    sync.Mutex // guards the fields below
	lines []string
	attrs []int // attributes of each record
	times []time.Time
}

type ctxKey struct{}

func (h *recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }
func (h *recorder) WithAttrs([]slog.Attr) slog.Handler {
	panic("the subscriber adds attributes to records only")
}
func (h *recorder) WithGroup(string) slog.Handler { panic("keys are flat") }

func (h *recorder) Handle(ctx context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.Key + "=" + a.Value.String())
		return true
	})
	if v := ctx.Value(ctxKey{}); v != nil {
		b.WriteString("; ctx=" + v.(string))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, b.String())
	h.attrs = append(h.attrs, r.NumAttrs())
	h.times = append(h.times, r.Time)
	return nil
}

// text returns the lines that have every one of the parts in them.
func (h *recorder) text(parts ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
lines:
	for _, l := range h.lines {
		for _, p := range parts {
			if !strings.Contains(l, p) {
				continue lines
			}
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}

// record returns a subscriber and what it writes from level on.
func record(level slog.Level, opts ...slogsub.Option) (*slogsub.Subscriber, *recorder) {
	h := &recorder{level: level}
	return slogsub.New(slog.New(h), opts...), h
}

// expect compares lines with want, which may be indented by tabs.
func expect(t *testing.T, got, want string) {
	t.Helper()
	lines := strings.Split(strings.Trim(want, "\n\t"), "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], "\t")
	}
	want = strings.Join(lines, "\n") + "\n"
	if strings.TrimSpace(want) == "" {
		want = ""
	}
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

var taskID = regexp.MustCompile(` task_id=\d+`)

// expectWithoutIDs is expect where the ids are the process's next ones.
func expectWithoutIDs(t *testing.T, h *recorder, want string) {
	t.Helper()
	expect(t, taskID.ReplaceAllString(h.text(), ""), want)
}

// feed gives sub events of one task, "job", a second apart.
type feed struct {
	sub *slogsub.Subscriber
	now time.Time
	e   taskvisor.Event
}

func feedTo(sub *slogsub.Subscriber) *feed {
	return &feed{
		sub: sub, now: time.Unix(1700000000, 0),
		e: taskvisor.Event{Supervisor: "sup", Task: "job", TaskID: 7, Attempt: 1},
	}
}

// send completes e with the task's fields and hands it on.
func (f *feed) send(e taskvisor.Event) {
	e.Time, e.Supervisor = f.now, f.e.Supervisor
	e.Task, e.TaskID, e.Attempt = f.e.Task, f.e.TaskID, f.e.Attempt
	f.sub.OnEvent(context.Background(), e)
}

func (f *feed) fail() { f.failAs(taskvisor.ResultFailure) }

func (f *feed) failAs(r taskvisor.ResultKind) {
	f.send(taskvisor.Event{Kind: taskvisor.TaskFailed, Result: r, Err: errBoom, Duration: time.Second})
	f.pass(time.Second)
}

func (f *feed) succeed() {
	f.send(taskvisor.Event{Kind: taskvisor.TaskStopped, Result: taskvisor.ResultSuccess, Duration: time.Second})
	f.pass(time.Second)
}

func (f *feed) pass(d time.Duration) {
	f.now = f.now.Add(d)
	f.e.Attempt++
}
