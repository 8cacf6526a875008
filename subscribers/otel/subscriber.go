package otelsub

import (
	"context"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	// ScopeName is the instrumentation scope of the spans and metrics.
	ScopeName = "github.com/taskvisor/taskvisor-go/subscribers/otel"

	// Version is the version of that scope.
	Version = "0.1.0"
)

// Subscriber opens and closes spans around attempts and, if asked, counts them.
// Make one with [New] and give it to [taskvisor.WithSubscriber]. It is safe for
// concurrent use, may serve several supervisors, and after the end of a
// supervisor holds nothing of it.
//
// It is made for inline delivery, which it asks for by itself. Queued, its
// spans stay exact, but metrics lose what the queue drops.
type Subscriber struct {
	config
	tracer  trace.Tracer // nil: the provider is known to do nothing
	metrics *metrics     // nil: none

	// The global provider as New found it, if comparing it cannot panic: once
	// it is another one, somebody has installed an SDK.
	global trace.TracerProvider
	// Set while the tracer hands out spans that are not even identified, as the
	// global one does before an SDK is installed. Attempts then cost next to
	// nothing, and one in wakeEvery asks again.
	dormant atomic.Bool
	skipped atomic.Uint64

	tasks registry
}

// wakeEvery spreads the cost of asking a tracer that did nothing so far.
const wakeEvery = 64

var (
	_ taskvisor.Subscribe      = (*Subscriber)(nil)
	_ taskvisor.AttemptBracket = (*Subscriber)(nil)
	_ taskvisor.Attacher       = (*Subscriber)(nil)
	_ taskvisor.Preferences    = (*Subscriber)(nil)
)

// New returns a subscriber that sends spans to the global tracer provider and
// no metrics, unless opts say otherwise. What is wrong with the metrics is
// reported by [taskvisor.New].
func New(opts ...Option) *Subscriber {
	s := &Subscriber{}
	for _, o := range opts {
		o.apply(&s.config)
	}
	provider := s.tracers
	if provider == nil {
		provider = otel.GetTracerProvider()
		if reflect.TypeOf(provider).Kind() == reflect.Pointer {
			s.global = provider
		}
	}
	if _, off := provider.(noop.TracerProvider); !off {
		s.tracer = provider.Tracer(ScopeName,
			trace.WithInstrumentationVersion(Version), trace.WithSchemaURL(semconv.SchemaURL))
	}
	if s.meters != nil {
		s.metrics = newMetrics(s.meters)
	}
	return s
}

// Preferences asks for inline delivery and the name otelsub.
func (s *Subscriber) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName("otelsub")}
}

// Attach gives the metrics that are read from state their source. It returns
// an error if an instrument was refused, or if a supervisor of the same name
// reports to this subscriber already. Without [WithMeterProvider] it does
// nothing.
func (s *Subscriber) Attach(snapshot func() taskvisor.Snapshot) error {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.attach(snapshot)
}

// Close lets go of the supervisors that have ended or were never started.
// Those that run are let go of when they end, so there is no need to call it;
// [taskvisor.New] does if it fails after Attach. It never fails, and s can be
// used on.
func (s *Subscriber) Close() {
	if s.metrics != nil {
		s.metrics.close()
	}
}

// BeginAttempt opens the span of an attempt and returns the body's context. It
// implements [taskvisor.AttemptBracket].
func (s *Subscriber) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	caller := trace.SpanContextFromContext(ctx)
	if s.tracer == nil || s.asleep() {
		if s.metrics != nil {
			s.enter(&a).begin()
		}
		return s.bodyContext(ctx, caller)
	}
	t := s.enter(&a)
	switch t.mode {
	case SpanAttempt:
		return s.beginAttempt(ctx, t, &a, caller)
	case SpanStartEnd:
		return s.beginResident(ctx, t, &a, caller)
	default:
		t.begin()
		return s.bodyContext(ctx, caller)
	}
}

// EndAttempt closes the span of an attempt. It implements
// [taskvisor.AttemptBracket].
func (s *Subscriber) EndAttempt(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
	t := s.tasks.get(a.TaskID)
	if t == nil {
		return
	}
	span, resident, gone := t.end()
	if gone {
		s.tasks.forget(a.TaskID)
	}
	switch {
	case span != nil:
		s.finish(span, &r)
	case resident:
		s.endResident(ctx, t, &a, &r)
	}
}

// OnEvent counts, and forgets what has ended. It implements
// [taskvisor.Subscribe].
func (s *Subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		if s.metrics != nil {
			s.metrics.attempt(ctx, s.tasks.get(e.TaskID), &e)
		}
	case taskvisor.BackoffScheduled:
		if s.metrics != nil {
			s.metrics.restart(ctx, &e)
		}
	case taskvisor.ControllerRejected:
		if s.metrics != nil {
			s.metrics.rejection(ctx, &e)
		}
	case taskvisor.TaskAbandoned:
		s.tasks.retire(e.TaskID)
	case taskvisor.TaskRemoved:
		if e.Reason == taskvisor.ErrReplaced {
			s.tasks.displace(e.TaskID)
		} else {
			s.tasks.retire(e.TaskID)
		}
	case taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		if s.metrics != nil {
			s.metrics.detach(e.Supervisor)
		}
	}
}

// asleep reports whether this attempt can be spared the tracer.
func (s *Subscriber) asleep() bool {
	if !s.dormant.Load() {
		return false
	}
	if s.global != nil && otel.GetTracerProvider() != s.global {
		return false
	}
	return s.skipped.Add(1)%wakeEvery != 0
}

// enter returns what is known of the attempt's task.
func (s *Subscriber) enter(a *taskvisor.Attempt) *task {
	t := s.tasks.get(a.TaskID)
	if t == nil {
		// Attempts of one task never overlap, so nobody else makes it.
		t = s.newTask(a)
		s.tasks.put(t)
	}
	return t
}

// bodyContext returns the context of a body that gets no span of ours.
func (s *Subscriber) bodyContext(ctx context.Context, caller trace.SpanContext) context.Context {
	if s.callerAsParent {
		return ctx
	}
	return strip(ctx, caller)
}

// noSpan hides the active span of an outer context.
var noSpan trace.Span = noop.Span{}

func strip(ctx context.Context, caller trace.SpanContext) context.Context {
	if !caller.IsValid() {
		return ctx
	}
	return trace.ContextWithSpan(ctx, noSpan)
}
