package slogsub_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkRecord is what one event costs as JSON; LogAttrs is the same record
// written by hand.
func BenchmarkRecord(b *testing.B) {
	logger := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx := context.Background()
	b.Run("LogAttrs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			logger.LogAttrs(ctx, slog.LevelDebug, "attempt succeeded", slog.String("supervisor", "sup"),
				slog.String("task", "job"), slog.Uint64("task_id", 700), slog.Int("attempt", 1000), slog.Duration("duration", time.Second))
		}
	})
	e := commonEvents()[1]
	run := func(name string, e taskvisor.Event, level slog.Level) {
		b.Run(name, func(b *testing.B) {
			logger := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: level}))
			sub := slogsub.New(logger, slogsub.WithSuppression(0))
			b.ReportAllocs()
			for b.Loop() {
				sub.OnEvent(ctx, e)
			}
		})
	}
	run("Stopped", e, slog.LevelDebug)
	run("Disabled", e, slog.LevelInfo)
	e.Kind, e.Result, e.Err = taskvisor.TaskFailed, taskvisor.ResultFailure, errBoom
	run("Failed", e, slog.LevelDebug)
}
