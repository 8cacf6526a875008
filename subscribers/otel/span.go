package otelsub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The keys of span attributes; the package comment lists them.
const (
	keySupervisor = attribute.Key("taskvisor.supervisor.name")
	keyTask       = attribute.Key("taskvisor.task.name")
	keyTaskID     = attribute.Key("taskvisor.task.id")
	keyTaskKind   = attribute.Key("taskvisor.task.kind")
	keyNumber     = attribute.Key("taskvisor.attempt.number")
	keyTimeout    = attribute.Key("taskvisor.attempt.timeout")
	keyDelay      = attribute.Key("taskvisor.attempt.delay")
	keyPolicy     = attribute.Key("taskvisor.admission.policy")
	keyWait       = attribute.Key("taskvisor.admission.wait")
	keyStreak     = attribute.Key("taskvisor.attempt.streak")
	keyPrevious   = attribute.Key("taskvisor.attempt.previous_result")
	keyGateWait   = attribute.Key("taskvisor.attempt.gate_wait")
	keyToken      = attribute.Key("taskvisor.lease.token")
	keyLeaseWait  = attribute.Key("taskvisor.lease.wait")
	keyResult     = attribute.Key("taskvisor.attempt.result")
	keyAborted    = attribute.Key("taskvisor.attempt.aborted")
	keyNote       = attribute.Key("taskvisor.attempt.note")
	keyOutcome    = attribute.Key("taskvisor.task.outcome")
	keyBackoff    = attribute.Key("taskvisor.backoff.delay")
	keyCause      = attribute.Key("taskvisor.cancel.cause")
	keyMessage    = attribute.Key("taskvisor.cancel.message")
	keyError      = attribute.Key("taskvisor.cancel.error")
	keyLink       = attribute.Key("taskvisor.link.type")
)

// TraceLabels returns the labels trace_id and span_id of the span that is
// active in ctx, or in the body of a resident task, which has none, of the span that
// told of its start; nil if there is none or it was not sampled. It fits
// promsub.WithExemplars and slogsub.WithContextLabels.
func TraceLabels(ctx context.Context) map[string]string {
	sc := spanContextOf(ctx)
	if !sc.IsValid() || !sc.IsSampled() {
		return nil
	}
	return map[string]string{"trace_id": sc.TraceID().String(), "span_id": sc.SpanID().String()}
}

// finish writes the result of an attempt and ends its span, also if the user's
// error or formatter panics. asked is what the caller gave who interrupted it.
func (s *Subscriber) finish(span trace.Span, r *taskvisor.Result, asked error) {
	// Not deferred directly: an SDK's End would then record the panic's value, as
	// it is, before the formatter could have its say.
	defer func() { span.End() }()
	if !span.IsRecording() {
		return
	}
	attrs := make([]attribute.KeyValue, 0, 4)
	attrs = append(attrs, keyResult.String(r.Kind.String()))
	if r.Aborted {
		attrs = append(attrs, keyAborted.Bool(true))
	}
	if r.Retry {
		attrs = append(attrs, keyBackoff.Float64(r.Delay.Seconds()))
	}
	if r.Reason != 0 {
		attrs = append(attrs, keyCause.String(r.Reason.String()))
	}
	// First what needs no code of the user's.
	span.SetAttributes(attrs...)
	if isError(r.Kind) {
		span.SetStatus(codes.Error, "")
	}
	if r.Note != "" {
		span.SetAttributes(keyNote.String(s.text(spanText(r.Note))))
	}
	if asked != nil {
		span.SetAttributes(keyMessage.String(s.text(asked)))
	}
	switch r.Kind {
	case taskvisor.ResultFailure, taskvisor.ResultFatal, taskvisor.ResultTimeout, taskvisor.ResultPanic:
		s.finishError(span, r)
	case taskvisor.ResultCanceled:
		s.finishCanceled(span, r)
	}
}

// finishCanceled sets no status: an alert would ring on every deployment.
func (s *Subscriber) finishCanceled(span trace.Span, r *taskvisor.Result) {
	if r.Reason == 0 && errors.Is(r.Err, taskvisor.ErrCanceled) {
		span.SetAttributes(keyCause.String(taskvisor.ErrCanceled.String()))
	}
	if saysMore(r) {
		span.SetAttributes(keyError.String(s.text(r.Err)))
	}
}

func (s *Subscriber) finishError(span trace.Span, r *taskvisor.Result) {
	span.SetAttributes(errorType(r))
	if r.Err == nil {
		return
	}
	text := s.text(r.Err)
	span.SetStatus(codes.Error, text)
	var p *taskvisor.PanicError
	if r.Kind == taskvisor.ResultPanic && errors.As(r.Err, &p) {
		s.addException(span, p, text)
	}
}

// finishAbandoned ends the span of a body that outlived its grace and still runs.
// What it has no attribute for is the result: there is none yet.
func (s *Subscriber) finishAbandoned(span trace.Span, e *taskvisor.Event, asked error) {
	defer func() { span.End() }()
	if !span.IsRecording() {
		return
	}
	span.SetStatus(codes.Error, "the body outlived its grace and still runs")
	span.SetAttributes(keyOutcome.String(taskvisor.OutcomeAbandoned.String()), keyCause.String(e.Reason.String()),
		semconv.ErrorTypeKey.String(taskvisor.OutcomeAbandoned.String()))
	if asked != nil {
		span.SetAttributes(keyMessage.String(s.text(asked)))
	}
	span.AddEvent("taskvisor.attempt.abandoned", trace.WithAttributes(s.stackAttributes(e)...))
}

// stackAttributes returns the stack of an event, if it has one.
func (s *Subscriber) stackAttributes(e *taskvisor.Event) []attribute.KeyValue {
	if e.Stack == "" {
		return nil
	}
	return []attribute.KeyValue{semconv.CodeStacktrace(s.stack(e.Stack))}
}

// addException records a panic with the stack that the supervisor captured.
func (s *Subscriber) addException(span trace.Span, p *taskvisor.PanicError, text string) {
	span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(
		semconv.ExceptionType(fmt.Sprintf("%T", p.Value)),
		semconv.ExceptionMessage(text),
		semconv.ExceptionStacktrace(s.stack(p.Stack()))))
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
	err := theirs(r.Err)
	if reason, ok := err.(taskvisor.Reason); ok {
		return semconv.ErrorTypeKey.String(reason.String())
	}
	return semconv.ErrorType(err)
}

// theirs returns the error that somebody made, inside what says nothing about it:
// marks, and what fmt.Errorf and errors.Join put around. Of several it is the first.
func theirs(err error) error {
	for range maxNodes {
		t := reflect.TypeOf(err)
		if t == nil || !isWrapper(t) {
			return err
		}
		var inner error
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			inner = x.Unwrap()
		case interface{ Unwrap() []error }:
			if branches := x.Unwrap(); len(branches) > 0 {
				inner = branches[0]
			}
		}
		if inner == nil {
			return err
		}
		err = inner
	}
	return err
}

// The types of fmt.Errorf, with one %w and with several, and of errors.Join.
var wrappers = []reflect.Type{
	reflect.TypeOf(fmt.Errorf("%w", errors.ErrUnsupported)),
	reflect.TypeOf(fmt.Errorf("%w%w", errors.ErrUnsupported, errors.ErrUnsupported)),
	reflect.TypeOf(errors.Join(errors.ErrUnsupported)),
}

func isWrapper(t reflect.Type) bool {
	return slices.Contains(wrappers, t) || isOurs(t) && !isExported(t.Elem().Name())
}

func isExported(name string) bool {
	r, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(r)
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
