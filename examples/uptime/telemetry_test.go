package main

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
)

// TestTracingIsOffWithoutAnEndpoint: nothing is sent anywhere unless asked.
func TestTracingIsOffWithoutAnEndpoint(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	tracer, flush, err := newTracing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, span := tracer.Tracer("x").Start(context.Background(), "x"); span.IsRecording() {
		t.Error("a span is recorded")
	}
	if err := flush(); err != nil {
		t.Error(err)
	}
}

// TestFlushIsBounded: a collector that is not there costs its time limit, not
// the exit.
func TestFlushIsBounded(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	tracer, flush, err := newTracing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var reported atomic.Int32
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { reported.Add(1) }))
	_, span := tracer.Tracer("x").Start(context.Background(), "x")
	span.End()
	began := time.Now()
	if err := flush(); err == nil && reported.Load() == 0 {
		t.Error("nobody learns that nothing was delivered")
	}
	if took := time.Since(began); took > 2*flushTimeout {
		t.Errorf("it took %s", took)
	}
}
