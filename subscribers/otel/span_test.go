package otelsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func name(of string, n int) string { return fmt.Sprint(of, "-", n) }
func trimmed(s string) string      { return strings.TrimSpace(s) }

// TestAttemptAttributes: all that an attempt can have, at its start and its end.
func TestAttemptAttributes(t *testing.T) {
	inRig(t, nil, []taskvisor.Option{taskvisor.WithMaxConcurrent(1)}, func(r *rig) {
		first := r.submit(taskvisor.Once("first", steps(ok())), taskvisor.Queue)
		h := r.submit(taskvisor.Periodic("job", time.Minute, steps(fail(errBoom), step{took: time.Second, body: func(ctx context.Context) {
			taskvisor.Beat(ctx, "row 7")
		}}), taskvisor.WithKind("import"), taskvisor.WithTimeout(1500*time.Millisecond), taskvisor.ConstantBackoff(2*time.Second)), taskvisor.Queue)
		if _, err := first.Wait(r.Context()); err != nil {
			t.Fatal(err)
		}
		r.after(h, 1)
		r.add(context.Background(), taskvisor.Once("between", steps(step{took: 4 * time.Second})))
		time.Sleep(5 * time.Second)
		synctest.Wait()

		var got []string
		s := r.spans.Ended()[3]
		for _, a := range s.Attributes() {
			got = append(got, strings.TrimPrefix(string(a.Key), "taskvisor.")+"="+a.Value.String())
		}
		want := []string{
			"supervisor.name=sup", "task.name=job", fmt.Sprint("task.id=", h.ID()), "task.kind=import",
			"attempt.timeout=1.5", "admission.policy=queue",
			"attempt.number=2", "attempt.delay=2", "attempt.streak=1", "attempt.previous_result=failure", "attempt.gate_wait=2",
			"attempt.result=success", "backoff.delay=60", "attempt.note=row 7",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("attributes\n got %q\nwant %q", got, want)
		}
		if s.SpanKind() != trace.SpanKindInternal {
			t.Errorf("kind %s", s.SpanKind())
		}
		scope := s.InstrumentationScope()
		if scope.Name != otelsub.ScopeName || scope.Version != otelsub.Version || scope.SchemaURL == "" {
			t.Errorf("scope %+v", scope)
		}
		got = nil
		for _, a := range r.spans.Ended()[1].Attributes() {
			if strings.HasSuffix(string(a.Key), "wait") {
				got = append(got, strings.TrimPrefix(string(a.Key), "taskvisor.")+"="+a.Value.String())
			}
		}
		if fmt.Sprint(got) != "[admission.wait=1]" {
			t.Errorf("waits %q", got)
		}
	})
}

// TestSamplersSeeStartAttributes holds the promise that a sampler may decide by
// what is known at the start.
func TestSamplersSeeStartAttributes(t *testing.T) {
	sampler := &samplerSpy{}
	provider, _ := tracing(sdktrace.WithSampler(sampler))
	inRig(t, []otelsub.Option{otelsub.WithTracerProvider(provider)}, nil, func(r *rig) {
		r.after(r.add(context.Background(), bounded(steps(fail(errBoom), ok()), taskvisor.WithTimeout(time.Minute))), 2)
	})
	want := "supervisor.name task.name task.id attempt.timeout attempt.number\n" +
		"supervisor.name task.name task.id attempt.timeout attempt.number attempt.delay attempt.streak attempt.previous_result\n"
	if sampler.keys != want {
		t.Errorf("sampler saw\n%s\nwant\n%s", sampler.keys, want)
	}
}

type samplerSpy struct{ keys string }

func (s *samplerSpy) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	for i, a := range p.Attributes {
		if i > 0 {
			s.keys += " "
		}
		s.keys += strings.TrimPrefix(string(a.Key), "taskvisor.")
	}
	s.keys += "\n"
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func (s *samplerSpy) Description() string { return "spy" }

type codedError struct{}

func (*codedError) Error() string { return "coded" }

// raise has a frame of its own, for the stack to begin with.
//
//go:noinline
func raise(v any) error { panic(v) }

// TestResults: the error's type is that of the error that somebody made, whatever is
// around it.
func TestResults(t *testing.T) {
	coded := &codedError{}
	const ofCoded = "error.type=*otelsub_test.codedError"
	returns := func(err error) taskvisor.Func { return func(context.Context) error { return err } }
	for _, c := range []struct {
		name string
		body taskvisor.Func
		want string // from the result on
	}{
		{"success", returns(nil), "success backoff.delay=2"},
		{"failure", returns(errBoom), `failure backoff.delay=2 error.type=*errors.errorString ! Error "boom"`},
		{"own type", returns(fmt.Errorf("outer: %w", coded)), `failure backoff.delay=2 ` + ofCoded + ` ! Error "outer: coded"`},
		{"joined", returns(errors.Join(coded, errBoom)), `failure backoff.delay=2 ` + ofCoded + ` ! Error "coded\nboom"`},
		{"several", returns(fmt.Errorf("%w and %w", coded, errBoom)), `failure backoff.delay=2 ` + ofCoded + ` ! Error "coded and boom"`},
		{"retry after", returns(taskvisor.RetryAfter(time.Hour, coded)), `failure backoff.delay=3600 ` + ofCoded + ` ! Error "coded"`},
		{"fatal", returns(taskvisor.Fatal(coded)), `fatal ` + ofCoded + ` ! Error "coded"`},
		{"fatal inside", returns(fmt.Errorf("outer: %w", taskvisor.Fatal(fmt.Errorf("inner: %w", coded)))), `fatal ` + ofCoded + ` ! Error "outer: inner: coded"`},
		{"goexit", func(context.Context) error { goexit(); return nil }, `failure backoff.delay=2 error.type=goexit ! Error "taskvisor: body called runtime.Goexit"`},
		{"timeout", func(ctx context.Context) error { <-ctx.Done(); return nil }, `timeout backoff.delay=2 error.type=timeout ! Error "attempt timed out after 1m0s"`},
		{"panic", func(context.Context) error { return raise("oh no") }, `panic backoff.delay=2 error.type=panic ! Error "panic: oh no"` +
			"\n     * exception exception.type=string exception.message=panic: oh no exception.stacktrace=otel_test.raise"},
		{"ends itself", returns(taskvisor.ErrCanceled), "canceled cancel.cause=canceled"},
		{"ends itself, wrapped", returns(fmt.Errorf("queue gone: %w", taskvisor.ErrCanceled)), "canceled cancel.cause=canceled cancel.error=queue gone: taskvisor: task canceled itself"},
		{"ends itself, and says why", returns(taskvisor.Canceled(errBoom)), "canceled cancel.cause=canceled cancel.error=boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRig(t, nil, nil, func(r *rig) {
				h := r.add(context.Background(), bounded(c.body, taskvisor.WithTimeout(time.Minute)))
				r.after(h, 1)
				_, got, _ := strings.Cut(strings.TrimSuffix(draw(t, r.spans), "\n"), "attempt.result=")
				if got != c.want {
					t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
				}
			})
		})
	}
}

// TestStops: being stopped is no error, but what the body could not finish, and who
// stopped it, are there to be read.
func TestStops(t *testing.T) {
	why := errors.New("by ann")
	for _, c := range []struct {
		name string
		err  func(ctx context.Context) error
		stop func(r *rig, h *taskvisor.Handle)
		want string
	}{
		{"stop", context.Cause, func(_ *rig, h *taskvisor.Handle) { h.Stop() }, "canceled cancel.cause=removed"},
		{"for a cause", context.Cause, func(_ *rig, h *taskvisor.Handle) { h.StopFor(why) }, "canceled cancel.cause=removed cancel.message=by ann"},
		{"interrupt", context.Cause, func(_ *rig, h *taskvisor.Handle) { h.Interrupt(why); time.Sleep(time.Millisecond); h.Stop() }, "canceled backoff.delay=0 cancel.cause=interrupted cancel.message=by ann"},
		{"shutdown", context.Cause, func(r *rig, _ *taskvisor.Handle) { _ = r.sup.Shutdown(context.Background()) }, "canceled cancel.cause=shutdown"},
		{"nothing", func(context.Context) error { return nil }, func(_ *rig, h *taskvisor.Handle) { h.Stop() }, "success cancel.cause=removed"},
		{"data lost", func(context.Context) error { return fmt.Errorf("flush: %w", errBoom) }, func(_ *rig, h *taskvisor.Handle) { h.Stop() }, "canceled cancel.cause=removed cancel.error=flush: boom"},
		{"both", func(ctx context.Context) error { return errors.Join(ctx.Err(), errBoom) }, func(_ *rig, h *taskvisor.Handle) { h.Stop() }, "canceled cancel.cause=removed cancel.error=context canceled\nboom"},
		{"stopped, and ends itself", func(context.Context) error { return taskvisor.ErrCanceled }, func(_ *rig, h *taskvisor.Handle) { h.Stop() }, "canceled cancel.cause=removed"},
		{"wrapped", func(ctx context.Context) error { return fmt.Errorf("read: %w", ctx.Err()) }, func(_ *rig, h *taskvisor.Handle) { h.Stop() }, "canceled cancel.cause=removed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRig(t, nil, nil, func(r *rig) {
				h := r.add(context.Background(), bounded(func(ctx context.Context) error {
					<-ctx.Done()
					return c.err(ctx)
				}))
				time.Sleep(time.Second)
				c.stop(r, h)
				synctest.Wait()
				_, got, _ := strings.Cut(draw(t, r.spans), "attempt.result=")
				got, _, _ = strings.Cut(got, "\ntrace 2")
				if got = strings.TrimSuffix(got, "\n"); got != c.want {
					t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
				}
			})
		})
	}
}

func TestDescriptionIsCut(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"short", "x", "x"},
		{"exact", strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{"long", strings.Repeat("x", 5000), strings.Repeat("x", 1024)},
		{"rune border", strings.Repeat("x", 1022) + "€€", strings.Repeat("x", 1022)},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"nothing but bad bytes", strings.Repeat("\x80x", 1000), strings.Repeat("\uFFFDx", 256)},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRig(t, nil, nil, func(r *rig) {
				r.add(context.Background(), taskvisor.Once("job", steps(fail(errors.New(c.text)))))
				time.Sleep(2 * time.Second)
				got := r.spans.Ended()[0].Status().Description
				if got != c.want || !utf8.ValidString(got) {
					t.Errorf("got %d bytes %.40q…, want %d bytes", len(got), got, len(c.want))
				}
			})
		})
	}
}

// TestErrorFormatterSeesAllText: of errors, panics, stacks, notes and causes.
func TestErrorFormatterSeesAllText(t *testing.T) {
	redact := func(err error) string { return strings.ReplaceAll(err.Error(), "raise", "[redacted]") }
	inRig(t, []otelsub.Option{otelsub.WithErrorFormatter(redact)}, nil, func(r *rig) {
		alarm := errors.New("raise the alarm")
		h := r.add(context.Background(), bounded(steps(
			fail(alarm),
			step{body: func(context.Context) { _ = raise("raise") }},
			step{body: func(ctx context.Context) { taskvisor.Beat(ctx, "raise"); <-ctx.Done() }, err: alarm},
		)))
		r.after(h, 2)
		time.Sleep(3 * time.Second)
		h.StopFor(alarm)
		deaf := r.add(context.Background(), taskvisor.Once("deaf", raiseLater, taskvisor.WithGrace(time.Second)))
		synctest.Wait()
		deaf.StopFor(alarm)
		time.Sleep(time.Hour)
		for _, s := range r.spans.Ended() {
			everything := s.Status().Description
			for _, a := range s.Attributes() {
				everything += "\n" + a.Value.String()
			}
			for _, e := range s.Events() {
				for _, a := range e.Attributes {
					everything += "\n" + a.Value.String()
				}
			}
			if strings.Contains(everything, "raise") || !strings.Contains(everything, "[redacted]") {
				t.Errorf("not redacted: %s", everything)
			}
		}
		ended(t, r.spans, 5)
	})
}

//go:noinline
func raiseLater(context.Context) error {
	time.Sleep(time.Minute)
	return errors.New("raise")
}

// TestPanickingFormatter: the span ends all the same, with all that needed no
// code of the user's, and the supervisor reports the panic.
func TestPanickingFormatter(t *testing.T) {
	inRig(t, []otelsub.Option{otelsub.WithErrorFormatter(func(error) string { panic("formatter") })}, nil, func(r *rig) {
		r.after(r.add(context.Background(), bounded(steps(fail(errBoom)))), 1)
		expect(t, r.spans, `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.result=failure backoff.delay=2 error.type=*errors.errorString ! Error ""
		`)
		for _, s := range r.sup.Snapshot().Subscribers {
			if s.Name == "otelsub" && s.Panics != 1 {
				t.Errorf("%d panics were counted", s.Panics)
			}
		}
	})
}

// TestTraceLabels: of the active span, and in a resident task, where there is none, of
// that of its start.
func TestTraceLabels(t *testing.T) {
	for name, spec := range map[string]func(taskvisor.Func, ...taskvisor.TaskOption) taskvisor.TaskSpec{"bounded": bounded, "resident": resident} {
		t.Run(name, func(t *testing.T) {
			var inBody map[string]string
			var inEvent []map[string]string
			see := taskvisor.SubscribeFunc(func(ctx context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskStarting || e.Kind == taskvisor.TaskFailed {
					inEvent = append(inEvent, otelsub.TraceLabels(ctx))
				}
			})
			inRig(t, nil, []taskvisor.Option{taskvisor.WithSubscriber(see)}, func(r *rig) {
				r.after(r.add(context.Background(), spec(steps(step{err: errBoom, body: func(ctx context.Context) { inBody = otelsub.TraceLabels(ctx) }}))), 1)
				sc := r.spans.Started()[0].SpanContext()
				for _, labels := range append(inEvent, inBody) {
					if len(labels) != 2 || labels["trace_id"] != sc.TraceID().String() || labels["span_id"] != sc.SpanID().String() {
						t.Errorf("labels %v of %v", labels, sc)
					}
				}
				if len(inEvent) != 2 {
					t.Errorf("%d events", len(inEvent))
				}
				unsampled := trace.ContextWithSpanContext(context.Background(), sc.WithTraceFlags(0))
				if l := otelsub.TraceLabels(unsampled); l != nil {
					t.Errorf("labels %v of a span that was not sampled", l)
				}
			})
		})
	}
	if l := otelsub.TraceLabels(context.Background()); l != nil {
		t.Errorf("labels %v without a span", l)
	}
}

func goexit() { runtime.Goexit() }
