package slogsub_test

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The tests of this package read what real supervisors made of it, in bubbles, where
// durations are exact.

var errBoom = errors.New("boom")

// recorder is a handler that keeps its records, a line each:
//
//	LEVEL message key=value …
//
// with "; ctx=…" behind it if the context carried a value under ctxKey{}. Of a stack
// it shows the innermost function.
type recorder struct {
	level slog.Level

	mu    sync.Mutex // guards the fields below
	lines []string
	attrs map[string]int       // the most attributes of a record, by message
	keys  map[string]bool      // that were used
	times map[string]time.Time // of the latest record, by message
}

type ctxKey struct{}

func (h *recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }
func (h *recorder) WithAttrs([]slog.Attr) slog.Handler {
	panic("the subscriber adds attributes to records only")
}
func (h *recorder) WithGroup(string) slog.Handler { panic("keys are flat") }

func (h *recorder) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.attrs == nil {
		h.attrs, h.keys, h.times = make(map[string]int), make(map[string]bool), make(map[string]time.Time)
	}
	var b strings.Builder
	b.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		h.keys[a.Key] = true
		value := a.Value.String()
		if a.Key == "stack" {
			value = innermost(value)
		}
		b.WriteString(" " + a.Key + "=" + value)
		return true
	})
	if v := ctx.Value(ctxKey{}); v != nil {
		b.WriteString("; ctx=" + v.(string))
	}
	h.lines = append(h.lines, b.String())
	h.attrs[r.Message] = max(h.attrs[r.Message], r.NumAttrs())
	h.times[r.Message] = r.Time
	return nil
}

// innermost returns the first function of a stack of this module, without its path.
func innermost(stack string) string {
	for line := range strings.Lines(stack) {
		if strings.Contains(line, "taskvisor-go/") && !strings.HasPrefix(line, "\t") {
			name, _, _ := strings.Cut(line[strings.LastIndex(line, "/")+1:], "(")
			return strings.TrimSpace(name)
		}
	}
	return "none"
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

// life is a supervisor, "sup", whose log is recorded.
type life struct {
	*testing.T
	sup *taskvisor.Supervisor
	log *recorder
}

// live runs play in a bubble, under a supervisor with opts whose log is recorded from
// level on. What play does not end, live does.
func live(t *testing.T, level slog.Level, sub []slogsub.Option, opts []taskvisor.Option, play func(l *life)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, h := record(level, sub...)
		opts = append([]taskvisor.Option{taskvisor.WithName("sup"), taskvisor.WithSubscriber(s)}, opts...)
		sup, _ := taskvisortest.Start(t, opts...)
		play(&life{t, sup, h})
	})
}

// add adds a task.
func (l *life) add(spec taskvisor.TaskSpec) *taskvisor.Handle {
	l.Helper()
	h, err := l.sup.Add(context.Background(), spec)
	if err != nil {
		l.Fatal(err)
	}
	return h
}

// shutdown ends the supervisor; ok says whether everything is to end in time.
func (l *life) shutdown(ok bool) {
	l.Helper()
	if err := l.sup.Shutdown(context.Background()); (err == nil) != ok {
		l.Errorf("shutdown: %v", err)
	}
}

// expect compares what was written, but for ids and what every line has in common,
// with want, which may be indented by tabs.
func (l *life) expect(want string) {
	l.Helper()
	synctest.Wait()
	expect(l.T, l.log, want)
}

var common = regexp.MustCompile(` (task_id=\d+|supervisor=sup)|id \d+, `)

func expect(t *testing.T, h *recorder, want string) {
	t.Helper()
	lines := strings.Split(strings.Trim(want, "\n\t"), "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], "\t")
	}
	want = strings.Join(lines, "\n") + "\n"
	if strings.TrimSpace(want) == "" {
		want = ""
	}
	if got := common.ReplaceAllString(h.text(), ""); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// script does one step an attempt; the last repeats.
func script(steps ...taskvisor.Func) taskvisor.Func {
	n := 0
	return func(ctx context.Context) error {
		n++
		return steps[min(n, len(steps))-1](ctx)
	}
}

func fails(err error) taskvisor.Func { return func(context.Context) error { return err } }
func succeeds() taskvisor.Func       { return fails(nil) }
func panics() taskvisor.Func         { return crash }
func blocks() taskvisor.Func {
	return func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
}
func ignores(d time.Duration) taskvisor.Func {
	return func(context.Context) error { return deaf(d) }
}

// crash and deaf have frames of their own, for stacks to begin with.
//
//go:noinline
func crash(context.Context) error { panic("oh no") }

//go:noinline
func deaf(d time.Duration) error {
	time.Sleep(d)
	return nil
}

// untilStopped returns err once the attempt is cancelled.
func untilStopped(err error) taskvisor.Func {
	return func(ctx context.Context) error {
		<-ctx.Done()
		return err
	}
}

// every is a task that runs each second, and is retried after a second.
func every(fn taskvisor.Func, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Periodic("job", time.Second, fn, append([]taskvisor.TaskOption{taskvisor.ConstantBackoff(time.Second)}, opts...)...)
}
