package otelsub

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// facts are what is known of one attempt at its start: what samplers may decide by, and
// so may what collects whole traces. A retry says so at its start.
type facts struct {
	number, streak            int
	previous                  taskvisor.ResultKind
	submitted                 bool
	delay, slotWait, gateWait time.Duration
	lease                     *term // nil: none is known
}

func factsOf(ctx context.Context, a *taskvisor.Attempt) facts {
	return facts{
		number: a.Number, streak: a.Streak, previous: a.Previous, submitted: a.Slot != "",
		delay: a.Delay, slotWait: a.SlotWait, gateWait: a.PermitWait, lease: termOf(ctx, a.TaskID),
	}
}

// attributes returns what is known of the task and of its attempt.
func (f *facts) attributes(of *shape) []attribute.KeyValue {
	const most = 3 // of an attempt that is neither a retry nor has waited
	attrs := make([]attribute.KeyValue, len(of.attrs), len(of.attrs)+most+len(f.lease.attributes()))
	copy(attrs, of.attrs)
	attrs = append(attrs, keyNumber.Int(f.number))
	if f.number > 1 {
		attrs = append(attrs, keyDelay.Float64(f.delay.Seconds()))
	} else if f.submitted {
		attrs = append(attrs, keyWait.Float64(f.slotWait.Seconds()))
	}
	if f.streak > 0 {
		attrs = append(attrs, keyStreak.Int(f.streak))
	}
	if f.previous != 0 {
		attrs = append(attrs, keyPrevious.String(f.previous.String()))
	}
	if f.gateWait > 0 {
		attrs = append(attrs, keyGateWait.Float64(f.gateWait.Seconds()))
	}
	return append(attrs, f.lease.attributes()...)
}
