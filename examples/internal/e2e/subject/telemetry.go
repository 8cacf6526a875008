package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// newTracing returns a provider that exports by OTLP over HTTP.
func newTracing(ctx context.Context) (*sdktrace.TracerProvider, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "subject")), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res)), nil
}

func shutDown(p *sdktrace.TracerProvider) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return p.Shutdown(ctx)
}

// spanOf names the active span for the ledger.
func spanOf(ctx context.Context) ledger.Span {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ledger.Span{}
	}
	return ledger.Span{Trace: sc.TraceID().String(), ID: sc.SpanID().String()}
}

// openLogs returns the subscribers that write the log of everything and the one as a
// program would have it.
func openLogs(c config) (subs []*slogsub.Subscriber, closeAll func() error, err error) {
	var files []*os.File
	closeAll = func() (err error) {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	for _, l := range []struct {
		file  string
		level slog.Level
		every time.Duration
	}{{c.log, slog.LevelDebug, 0}, {c.short, slog.LevelInfo, suppression}} {
		f, err := os.Create(l.file)
		if err != nil {
			return nil, closeAll, errors.Join(err, closeAll())
		}
		files = append(files, f)
		handler := traceHandler{slog.NewJSONHandler(f, &slog.HandlerOptions{Level: l.level})}
		subs = append(subs, slogsub.New(slog.New(handler), slogsub.WithSuppression(l.every)))
	}
	return subs, closeAll, nil
}

// traceHandler adds the ids by which a line and a trace find each other.
type traceHandler struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if s := spanOf(ctx); s.ID != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.Trace), slog.String("span_id", s.ID))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
