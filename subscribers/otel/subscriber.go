package otelsub

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

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
// supervisor, once its metrics were collected, holds nothing of it.
//
// It is made for inline delivery, which it asks for by itself. Queued, its
// spans stay exact, but that of an abandoned attempt may end late, and metrics
// lose what the queue drops.
type Subscriber struct {
	config
	metrics *metrics // nil: none

	source atomic.Pointer[source]
	// Set while the tracer hands out spans that are not even identified, as the
	// global one does before an SDK is installed. Attempts then cost next to
	// nothing, and one in wakeEvery asks again.
	dormant atomic.Bool
	skipped atomic.Uint64

	replaced memory
	slots    sync.Map // of *task by TaskID: those of slots, from their first attempt to their removal
}

// source is where spans come from.
type source struct {
	provider trace.TracerProvider
	tracer   trace.Tracer // nil: the provider is known to do nothing
}

func newSource(p trace.TracerProvider) *source {
	s := &source{provider: p}
	if _, off := p.(noop.TracerProvider); !off {
		s.tracer = p.Tracer(ScopeName,
			trace.WithInstrumentationVersion(Version), trace.WithSchemaURL(semconv.SchemaURL))
	}
	return s
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
	}
	s.source.Store(newSource(provider))
	if s.meters != nil {
		s.metrics = newMetrics(s.meters, s.keys(), s.owners)
	}
	return s
}

// Preferences asks for inline delivery and the name otelsub.
func (s *Subscriber) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName("otelsub")}
}

// Attach gives the metrics that are read from state their source. It returns
// an error if an instrument was refused, or if a supervisor of the same name
// reports to this subscriber already. Where one has just ended, its counters go
// on. Without [WithMeterProvider] it does nothing.
func (s *Subscriber) Attach(snapshot func() taskvisor.Snapshot) error {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.attach(snapshot)
}

// Close hides the supervisors that were not started, until they are, and lets go of
// those that were shut down before. Those that run are let go of when they have ended,
// so there is no need to call it; [taskvisor.New] does if it fails after Attach. It
// never fails, and s can be used on.
func (s *Subscriber) Close() {
	if s.metrics != nil {
		s.metrics.close()
	}
}

// BeginAttempt opens the span of an attempt and returns the body's context. It
// implements [taskvisor.AttemptBracket].
func (s *Subscriber) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	caller := trace.SpanContextFromContext(ctx)
	tracer := s.tracer()
	if tracer == nil || s.asleep() {
		return s.bodyContext(ctx, caller, a.TaskID, a.Number)
	}
	return s.begin(ctx, tracer, caller, a)
}

// begin is apart for the sake of those that have no tracer: it costs them no memory.
func (s *Subscriber) begin(ctx context.Context, tracer trace.Tracer, caller trace.SpanContext, a taskvisor.Attempt) context.Context {
	b := &beginning{tracer: tracer, ctx: ctx, caller: caller, id: a.TaskID, replaced: a.Replaced, now: a.Started}
	if b.now.IsZero() { // no supervisor has made the call
		b.now = time.Now()
	}
	b.task, b.shape = s.taskOf(&a)
	if b.shape.mode == SpanNone {
		return s.bodyContext(ctx, caller, a.TaskID, a.Number)
	}
	if a.Number == 1 && a.Slot != "" {
		s.own(a.TaskID, b.task)
	}
	b.facts = factsOf(ctx, &a)
	if b.shape.mode == SpanStartEnd {
		return s.beginResident(b)
	}
	return s.beginAttempt(b)
}

// EndAttempt closes the span of an attempt. It implements
// [taskvisor.AttemptBracket].
func (s *Subscriber) EndAttempt(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
	if at := attemptOf(ctx); at.is(a.TaskID, a.Number) && at.task.owner == s {
		s.end(ctx, at, &a, &r)
	}
}

// OnEvent counts, and tells of bodies that do not end. It implements
// [taskvisor.Subscribe].
func (s *Subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	if s.metrics != nil {
		s.metrics.event(ctx, s, &e)
	}
	switch e.Kind {
	case taskvisor.TaskStarting:
		s.leased(ctx, &e)
	case taskvisor.TaskInterrupted:
		s.ask(&e)
	case taskvisor.TaskRemoveRequested:
		s.ask(&e)
		if e.Reason == taskvisor.ErrReplaced {
			s.displace(&e)
		}
	case taskvisor.TaskStuck:
		s.tellStuck(&e)
	case taskvisor.TaskAbandoned:
		s.abandon(ctx, &e)
		s.disown(&e) // its return may never be told
	case taskvisor.TaskRemoved:
		if e.Reason == taskvisor.ErrReplaced {
			s.displace(&e)
		}
		s.disown(&e)
	}
}

// tracer returns the tracer in force. The global provider may be replaced at any
// time, more than once: spans go to the one that is installed when they begin.
func (s *Subscriber) tracer() trace.Tracer {
	from := s.source.Load()
	if s.tracers != nil {
		return from.tracer
	}
	provider := otel.GetTracerProvider()
	if same(provider, from.provider) {
		return from.tracer
	}
	from = newSource(provider)
	s.source.Store(from)
	s.dormant.Store(false)
	return from.tracer
}

// same reports whether two providers are one. Comparing values that are no pointers
// could panic; those of one type are taken for the same.
func same(a, b trace.TracerProvider) bool {
	t := reflect.TypeOf(a)
	if t != reflect.TypeOf(b) {
		return false
	}
	return t.Kind() != reflect.Pointer || a == b
}

// asleep reports whether this attempt can be spared the tracer.
func (s *Subscriber) asleep() bool {
	return s.dormant.Load() && s.skipped.Add(1)%wakeEvery != 0
}

// bodyContext returns the context of a body that gets no span of ours. The attempt on
// whose behalf the task was added is hidden: it has nothing to do with this one.
func (s *Subscriber) bodyContext(ctx context.Context, caller trace.SpanContext, id taskvisor.TaskID, number int) context.Context {
	if at := attemptOf(ctx); at != nil && !at.is(id, number) {
		ctx = context.WithValue(ctx, attemptKey{}, (*attempt)(nil))
	}
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
