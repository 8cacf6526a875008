package taskvisor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// logged runs f with a default logger that writes to a buffer, and returns its lines.
func logged(t *testing.T, f func()) []string {
	t.Helper()
	var buf bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(old)
	f()
	return strings.Split(strings.TrimSpace(buf.String()), "\n")
}

// A supervisor without subscribers says to the default logger what went wrong, and
// nothing else; Run returns the failures of the tasks it was given, in their order.
func TestFailuresAreHeardWithoutSubscribers(t *testing.T) {
	errLost := errors.New("two records lost")
	specs := []taskvisor.TaskSpec{
		taskvisor.Once("panics", func(context.Context) error { panic("no such table") }),
		taskvisor.Once("works", func(context.Context) error { return nil }),
		taskvisor.Once("fatal", func(context.Context) error { return taskvisor.Fatal(io.ErrUnexpectedEOF) }),
		taskvisor.Once("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, taskvisor.WithTimeout(time.Second)),
		taskvisor.Once("stays", func(context.Context) error { time.Sleep(time.Minute); return nil },
			taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)),
		taskvisor.Restartable("loses", func(ctx context.Context) error { <-ctx.Done(); return errLost }),
		taskvisor.Restartable("obeys", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		taskvisor.Restartable("obeys too", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }),
	}
	var err error
	lines := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			sup, e := taskvisor.New(taskvisor.WithGrace(5 * time.Second))
			if e != nil {
				t.Fatal(e)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err = sup.Run(ctx, specs...)
			if sn := sup.Snapshot(); len(sn.Subscribers) != 0 {
				t.Errorf("subscribers nobody asked for: %+v", sn.Subscribers)
			}
			time.Sleep(time.Hour)
		})
	})
	want := map[string]int{
		"level=ERROR msg=\"attempt panicked\" supervisor=taskvisor task=panics":                 1,
		"level=ERROR msg=\"task gave up\" supervisor=taskvisor task=panics":                     1,
		"level=ERROR msg=\"task failed for good\" supervisor=taskvisor task=fatal":              1,
		"level=WARN msg=\"attempt timed out\" supervisor=taskvisor task=slow":                   1,
		"level=ERROR msg=\"task gave up\" supervisor=taskvisor task=slow":                       1,
		"level=ERROR msg=\"attempt is stuck\" supervisor=taskvisor task=stays":                  1,
		"level=WARN msg=\"attempt was canceled with an error\" supervisor=taskvisor task=loses": 1,
		"level=ERROR msg=\"task abandoned\" supervisor=taskvisor task=stays":                    1,
		"level=ERROR msg=\"grace exceeded\" supervisor=taskvisor":                               1,
	}
	for _, line := range lines {
		known := false
		for w := range want {
			if strings.Contains(line, w) {
				want[w]--
				known = true
			}
		}
		if !known {
			t.Errorf("unexpected: %s", line)
		}
		if strings.Contains(line, "attempt panicked") && !(strings.Contains(line, "no such table") && strings.Contains(line, "reporter_test.go")) {
			t.Errorf("a panic without its value or its stack: %s", line)
		}
	}
	for w, n := range want {
		if n != 0 {
			t.Errorf("%s: %d times too few", w, n)
		}
	}
	var names []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var te *taskvisor.TaskError
		if errors.As(e, &te) {
			names = append(names, te.Task)
		}
	}
	sameList(t, "failures", names, []string{"panics", "fatal", "slow"})
	var left *taskvisor.GraceExceededError
	if !errors.As(err, &left) || len(left.Tasks) != 1 || left.Tasks[0].Name != "stays" {
		t.Errorf("left: %v", err)
	}
	isAll(t, "Run", err, io.ErrUnexpectedEOF)
}

// Whoever subscribes hears it himself; Discard means that nobody wants to.
func TestSubscribersSilenceTheDefaultLogger(t *testing.T) {
	for name, sub := range map[string]taskvisor.Subscribe{
		"discard": taskvisor.Discard, "another": taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) {}),
	} {
		lines := logged(t, func() {
			sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
			if err != nil {
				t.Fatal(err)
			}
			err = sup.Run(context.Background(), taskvisor.Once("a", func(context.Context) error { return io.EOF }))
			isAll(t, "Run", err, io.EOF)
		})
		if len(lines) != 1 || lines[0] != "" {
			t.Errorf("%s: %q", name, lines)
		}
	}
}

// A body that was stopped and returns the cancellation says nothing, however it puts it.
func TestCancellationsAreNotHeard(t *testing.T) {
	lines := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			sup, err := taskvisor.New()
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			for name, err := range map[string]func(ctx context.Context) error{
				"cause":    context.Cause,
				"err":      context.Context.Err,
				"deadline": func(context.Context) error { return context.DeadlineExceeded },
			} {
				h := addTo(t, sup, taskvisor.Restartable(name, func(ctx context.Context) error { <-ctx.Done(); return err(ctx) }))
				synctest.Wait()
				if _, err := h.Cancel(context.Background()); err != nil {
					t.Error(err)
				}
			}
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	})
	sameList(t, "lines", lines, []string{""})
}

// Events are numbered whether anybody hears them or not, and nothing is after the verdict.
func TestNumbersOfEventsThatNobodyHears(t *testing.T) {
	live := func(opts ...taskvisor.Option) (numbers []uint64) {
		synctest.Test(t, func(t *testing.T) {
			sup, err := taskvisor.New(append(opts, taskvisor.WithGrace(time.Second))...)
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			fail := taskvisortest.Fail(errBoom)
			var handles []*taskvisor.Handle
			see := func(d time.Duration) {
				time.Sleep(d)
				synctest.Wait()
				for _, h := range handles {
					numbers = append(numbers, h.Status().Seq)
				}
				numbers = append(numbers, sup.Snapshot().Seq)
			}
			for _, spec := range []taskvisor.TaskSpec{
				taskvisor.Once("works", noWork),
				taskvisor.Restartable("recovers", taskvisortest.Script(fail, fail, taskvisortest.Succeed()), taskvisor.ConstantBackoff(time.Second)),
				taskvisor.Restartable("fails", taskvisortest.Script(fail), taskvisor.ConstantBackoff(time.Minute)),
				taskvisor.Periodic("waits", time.Hour, noWork),
				taskvisor.Once("stays", func(context.Context) error { time.Sleep(time.Hour); return nil }),
			} {
				handles = append(handles, addTo(t, sup, spec))
				see(0)
			}
			see(time.Second)
			see(time.Second)
			handles[3].RunNow(nil)
			see(time.Second)
			if err := sup.Shutdown(context.Background()); err == nil {
				t.Error("a body was left without a word")
			}
			see(0)
			see(2 * time.Hour)
		})
		return numbers
	}
	want := live(taskvisor.WithSubscriber(&taskvisortest.Recorder{}))
	logged(t, func() {
		if got := live(); !slices.Equal(got, want) {
			t.Errorf("without a subscriber %v, want %v", got, want)
		}
	})
	if got := live(taskvisor.WithSubscriber(taskvisor.Discard)); !slices.Equal(got, want) {
		t.Errorf("with Discard %v, want %v", got, want)
	}
}
