package otelsub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The keys of span and metric attributes; the package comment lists them.
const (
	keySupervisor = attribute.Key("taskvisor.supervisor.name")
	keyTask       = attribute.Key("taskvisor.task.name")
	keyTaskID     = attribute.Key("taskvisor.task.id")
	keyNumber     = attribute.Key("taskvisor.attempt.number")
	keyTimeout    = attribute.Key("taskvisor.attempt.timeout")
	keyDelay      = attribute.Key("taskvisor.attempt.delay")
	keyPolicy     = attribute.Key("taskvisor.admission.policy")
	keyWait       = attribute.Key("taskvisor.admission.wait")
	keyOutcome    = attribute.Key("taskvisor.attempt.outcome")
	keyBackoff    = attribute.Key("taskvisor.backoff.delay")
	keyCause      = attribute.Key("taskvisor.cancel.cause")
	keyLink       = attribute.Key("taskvisor.link.type")

	keyState        = attribute.Key("taskvisor.task.state")
	keyRestartCause = attribute.Key("taskvisor.restart.cause")
	keyReason       = attribute.Key("taskvisor.admission.reason")
	keySubscriber   = attribute.Key("taskvisor.subscriber.name")
	keyKind         = attribute.Key("taskvisor.event.kind")
)

// TraceLabels returns the labels trace_id and span_id of the span that is
// active in ctx, or nil if there is none or it was not sampled. It fits
// promsub.WithExemplars.
func TraceLabels(ctx context.Context) map[string]string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() || !sc.IsSampled() {
		return nil
	}
	return map[string]string{"trace_id": sc.TraceID().String(), "span_id": sc.SpanID().String()}
}

// startAttributes returns what samplers may decide by.
func startAttributes(t *task, a *taskvisor.Attempt) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, len(t.attrs), len(t.attrs)+3)
	copy(attrs, t.attrs)
	attrs = append(attrs, keyNumber.Int(a.Number))
	if a.Number > 1 {
		attrs = append(attrs, keyDelay.Float64(a.Delay.Seconds()))
	} else if a.Slot != "" {
		attrs = append(attrs, keyWait.Float64(a.SlotWait.Seconds()))
	}
	return attrs
}

// finish writes the result of an attempt and ends its span, also if the user's
// error or formatter panics.
func (s *Subscriber) finish(span trace.Span, r *taskvisor.Result) {
	// Not deferred directly: an SDK's End would then record the panic's value, as
	// it is, before the formatter could have its say.
	defer func() { span.End() }()
	if !span.IsRecording() {
		return
	}
	attrs := make([]attribute.KeyValue, 0, 4)
	attrs = append(attrs, keyOutcome.String(r.Kind.String()))
	if r.Retry {
		attrs = append(attrs, keyBackoff.Float64(r.Delay.Seconds()))
	}
	if r.Reason != 0 {
		attrs = append(attrs, keyCause.String(r.Reason.String()))
	}
	if !isError(r.Kind) {
		span.SetAttributes(attrs...)
		return
	}
	// First what needs no code of the user's.
	span.SetStatus(codes.Error, "")
	span.SetAttributes(attrs...)
	span.SetAttributes(errorType(r))
	if r.Err == nil {
		return
	}
	text := clip(s.text(r.Err))
	span.SetStatus(codes.Error, text)
	var p *taskvisor.PanicError
	if r.Kind == taskvisor.ResultPanic && errors.As(r.Err, &p) {
		s.addException(span, p, text)
	}
}

// addException records a panic with the stack that the supervisor captured.
func (s *Subscriber) addException(span trace.Span, p *taskvisor.PanicError, text string) {
	span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(
		semconv.ExceptionType(fmt.Sprintf("%T", p.Value)),
		semconv.ExceptionMessage(text),
		semconv.ExceptionStacktrace(strings.ToValidUTF8(s.stack(p.Stack()), "\uFFFD"))))
}

// isError reports whether an attempt's span has the status Error. Being
// cancelled is no error: an alert would ring on every deployment.
func isError(k taskvisor.ResultKind) bool {
	switch k {
	case taskvisor.ResultFailure, taskvisor.ResultFatal, taskvisor.ResultTimeout, taskvisor.ResultPanic:
		return true
	}
	return false
}

// errorType returns the attribute error.type of a failed attempt.
func errorType(r *taskvisor.Result) attribute.KeyValue {
	switch r.Kind {
	case taskvisor.ResultTimeout:
		return semconv.ErrorTypeKey.String("timeout")
	case taskvisor.ResultPanic:
		return semconv.ErrorTypeKey.String("panic")
	}
	err := unmark(r.Err)
	if reason, ok := err.(taskvisor.Reason); ok {
		return semconv.ErrorTypeKey.String(reason.String())
	}
	return semconv.ErrorType(err)
}

// What Fatal and RetryAfter return says nothing about the error itself.
var (
	fatalMark = reflect.TypeOf(taskvisor.Fatal(errors.New("")))
	retryMark = reflect.TypeOf(taskvisor.RetryAfter(0, errors.New("")))
)

func unmark(err error) error {
	for {
		if t := reflect.TypeOf(err); t != fatalMark && t != retryMark {
			return err
		}
		err = errors.Unwrap(err)
	}
}

// maxText bounds a status description, in bytes.
const maxText = 1024

// clip returns valid UTF-8 of at most maxText bytes, cut between runes: one bad
// byte in one description can make an exporter lose the whole batch.
func clip(s string) string {
	if len(s) > maxText+utf8.UTFMax {
		s = s[:maxText+utf8.UTFMax]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
