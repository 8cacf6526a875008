package slogsub

import (
	"context"
	"log/slog"

	"github.com/taskvisor/taskvisor-go/lease"
)

// leaseMessages are constant, as those of events are.
var leaseMessages = map[lease.EventKind]string{
	lease.Acquired:    "lease acquired",
	lease.Lost:        "lease lost",
	lease.Released:    "lease released",
	lease.Lapsing:     "lease left to expire",
	lease.Overrun:     "lease overrun",
	lease.RenewFailed: "lease not renewed",
	lease.Refused:     "lease refused",
	lease.StoreFailed: "lease store failed",
	lease.KeysFailed:  "lease keys unknown",
	lease.Renewed:     "leases renewed",
}

// Lease writes the record of what happened to a lease, at the level of the event: give it
// to [lease.WithObserver], in the place of the observer that writes to [slog.Default].
// No supervisor's events tell of leases. Unlike those of events its records are not
// queued: the handler is called by what renews leases, and must not block for as long as
// a lease may last.
func (s *Subscriber) Lease(e lease.Event) {
	ctx := context.Background()
	level := e.Level()
	if !s.handler.Enabled(ctx, level) {
		return
	}
	message, ok := leaseMessages[e.Kind]
	if !ok {
		message = "lease event"
	}
	r := slog.NewRecord(e.Time, level, message, 0)
	text := func(attr slog.Attr) {
		if attr.Value.String() != "" {
			r.AddAttrs(attr)
		}
	}
	text(slog.String("supervisor", e.Supervisor))
	text(slog.String("task", e.Task))
	text(slog.String("lease", e.Key))
	r.AddAttrs(slog.String("owner", e.Owner))
	if e.Token != 0 {
		r.AddAttrs(slog.Uint64("token", e.Token))
	}
	if e.Reason != 0 {
		r.AddAttrs(slog.String("reason", e.Reason.String()))
	}
	addDuration(&r, "duration", e.Took)
	if e.Margin > 0 {
		r.AddAttrs(slog.Duration("margin", e.Margin))
	}
	if e.Kind != lease.Lost { // whose error says what lease and reason do
		s.addError(&r, "error", e.Err)
	}
	_ = s.handler.Handle(ctx, r) // there is no snapshot of a supervisor to count it in
}
