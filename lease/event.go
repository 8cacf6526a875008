package lease

import (
	"context"
	"log/slog"
	"strconv"
	"time"
)

// EventKind says what happened to a lease.
type EventKind uint8

// The kinds of events, with the fields that they set beside Time, Kind and Key. Those of
// one lease name its Task and Supervisor: the first of this process that has the lease or
// waits for it, if any does.
const (
	Acquired    EventKind = iota + 1 // Token; Took: since the key was first asked for
	Lost                             // Token, Reason, Err (a *LostError); Took: how long it was held
	Released                         // Token; Took: how long it was held
	Lapsing                          // Token: the body was abandoned, so the lease is left to expire
	Overrun                          // Token, Task: a body still runs when the lease may have expired, and another may run too
	RenewFailed                      // Err, Took: of the request. Once for a row of them; Key is ""
	Refused                          // Task, Err: a task that cannot be leased as it is; it was stopped, or waits for ever
	StoreFailed                      // Err: another request failed. Once for a row of its kind: for one lease, for who has which, a watch, notes. Key is "" where it was for many
	KeysFailed                       // Err: of the function that lists the keys of a Shard
	Renewed                          // Took: of the request that renewed the owner's leases, or some; Margin; Key is ""
)

var eventLabels = []string{"", "acquired", "lost", "released", "lapsing", "overrun", "renew_failed", "refused", "store_failed", "keys_failed", "renewed"}

// String returns the stable label.
func (k EventKind) String() string { return label(eventLabels, uint8(k)) }

// MarshalText returns the label.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LossReason is why a lease was lost.
type LossReason uint8

// The reasons of a loss.
const (
	LostDeadline  LossReason = iota + 1 // it could not be renewed in time: the own deadline passed
	LostStolen                          // the store says that it is no longer ours
	LostAbandoned                       // its body was abandoned, and it was left to expire
)

var (
	lossLabels = []string{"", "deadline", "stolen", "abandoned"}
	lossTexts  = []string{"", "it was not renewed in time", "the store says that it is no longer ours", "its body was abandoned"}
)

// String returns the stable label.
func (r LossReason) String() string { return label(lossLabels, uint8(r)) }

// MarshalText returns the label.
func (r LossReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r LossReason) text() string { return label(lossTexts, uint8(r)) }

func label(labels []string, i uint8) string {
	if int(i) < len(labels) {
		return labels[i]
	}
	return "unknown_" + strconv.Itoa(int(i))
}

func quote(s string) string { return strconv.Quote(s) }

// Event is one step in the life of a lease. It is a plain value.
type Event struct {
	Time       time.Time
	Kind       EventKind
	Key        string // without the prefix
	Owner      string // whose events these are
	Token      uint64
	Task       string
	Supervisor string // of Task
	Reason     LossReason
	Took       time.Duration
	Margin     time.Duration // the least time that a lease had left before its own deadline, when it was renewed
	Err        error
}

// Level is how much it matters: an overlap that is possible and a task that is
// refused are errors, a loss and a failed request are warnings, and a renewal is for
// who looks closely.
func (e Event) Level() slog.Level {
	switch e.Kind {
	case Overrun, Refused:
		return slog.LevelError
	case Lost, Lapsing, RenewFailed, StoreFailed, KeysFailed:
		return slog.LevelWarn
	case Renewed:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// LogValue implements [slog.LogValuer]: the fields that are set.
func (e Event) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("event", e.Kind.String())}
	add := func(ok bool, a slog.Attr) {
		if ok {
			attrs = append(attrs, a)
		}
	}
	add(e.Key != "", slog.String("key", e.Key))
	add(e.Owner != "", slog.String("owner", e.Owner))
	add(e.Token != 0, slog.Uint64("token", e.Token))
	add(e.Task != "", slog.String("task", e.Task))
	add(e.Reason != 0, slog.String("reason", e.Reason.String()))
	add(e.Took != 0, slog.Duration("took", e.Took))
	add(e.Margin != 0, slog.Duration("margin", e.Margin))
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// logEvent is where events go by default.
func logEvent(e Event) {
	slog.LogAttrs(context.Background(), e.Level(), "lease "+e.Kind.String(), slog.Any("lease", e))
}
