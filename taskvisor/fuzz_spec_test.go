package taskvisor_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// fuzzedSpec is a spec made of anything, with what the contract says of it.
type fuzzedSpec struct {
	spec  taskvisor.TaskSpec
	valid bool
}

// newFuzzedSpec reads which options there are from the bits of which, and gives
// them the numbers d and n and the policy b.
func newFuzzedSpec(name string, kind uint8, which uint16, d time.Duration, n int, b taskvisor.BackoffPolicy) fuzzedSpec {
	f := fuzzedSpec{valid: name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })}
	var opts []taskvisor.TaskOption
	with := func(bit int, o taskvisor.TaskOption, valid bool) {
		if which&(1<<bit) != 0 {
			opts = append(opts, o)
			f.valid = f.valid && valid
		}
	}
	once, periodic := kind%3 == 0, kind%3 == 2
	with(0, taskvisor.WithTimeout(d), d > 0)
	with(1, taskvisor.WithoutTimeout(), true)
	with(2, taskvisor.WithMaxRetries(n), n >= 0)
	with(3, taskvisor.WithUnlimitedRetries(), true)
	with(4, taskvisor.WithResetAfter(d), d > 0)
	with(5, taskvisor.WithStuckAfter(d), d > 0)
	with(6, taskvisor.WithGrace(d), d >= 0)
	with(7, b, b.Validate() == nil)
	with(8, taskvisor.RestartAlways(d), d >= 0 && !once)
	with(9, taskvisor.RestartOnFailure(), !once && !periodic)
	with(10, taskvisor.RestartNever(), !periodic)
	with(11, taskvisor.WithoutRestartFloor(), true)
	with(12, taskvisor.WithReleaseOnAbandon(), true)
	with(13, taskvisor.WithEssential(), true)
	const retries = 1<<2 | 1<<3 | 1<<4 | 1<<7 // what has no meaning for a task that runs once
	if never := once || which&(1<<10) != 0; never && which&retries != 0 {
		f.valid = false
	}
	switch kind % 3 {
	case 0:
		f.spec = taskvisor.Once(name, noWork, opts...)
	case 1:
		f.spec = taskvisor.Restartable(name, noWork, opts...)
	default:
		f.spec = taskvisor.Periodic(name, d, noWork, opts...)
		f.valid = f.valid && d >= 0
	}
	return f
}

// FuzzSpec: whatever a spec is made of, it is accepted exactly if each part of it
// is valid; it prints without a panic; a refusal names it and
// leaves nothing.
func FuzzSpec(f *testing.F) {
	f.Add("mailer", uint8(1), uint16(0x00ff), int64(time.Second), 3, int64(time.Millisecond), int64(time.Hour), 2.0, uint8(2))
	f.Add("mailer", uint8(0), uint16(0x0700), int64(0), 0, int64(0), int64(0), 0.0, uint8(0))
	f.Add("ticker", uint8(2), uint16(0x3800), int64(-1), -1, int64(2), int64(1), math.Inf(1), uint8(9))
	f.Add("\x00", uint8(1), uint16(0xffff), int64(math.MaxInt64), math.MaxInt, int64(1), int64(math.MaxInt64), math.MaxFloat64, uint8(3))
	f.Add("", uint8(2), uint16(0), int64(math.MinInt64), math.MinInt, int64(-1), int64(-1), math.NaN(), uint8(1))
	sup, err := taskvisor.New()
	if err != nil {
		f.Fatal(err)
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string, kind uint8, which uint16, d int64, n int, first, limit int64, factor float64, jitter uint8) {
		name = strings.ToValidUTF8(name, "?") // names are FuzzNames' own
		name = strings.Map(func(r rune) rune {
			if r >= 0x7f && r < 0xa0 {
				return '?'
			}
			return r
		}, name)
		b := taskvisor.BackoffPolicy{First: time.Duration(first), Max: time.Duration(limit), Factor: factor, Jitter: taskvisor.Jitter(jitter)}
		fz := newFuzzedSpec(name, kind, which, time.Duration(d), n, b)
		_, err := sup.Add(context.Background(), fz.spec) // the supervisor is closed: what is valid gets that far
		same(t, "accepted", errors.Is(err, taskvisor.ErrShuttingDown), fz.valid)
		var refused *taskvisor.TaskError
		if !errors.As(err, &refused) || refused.Task != name {
			t.Fatalf("error %v does not name %q", err, name)
		}
		if s := fz.spec.String(); !strings.HasPrefix(s, name+": restart ") {
			t.Errorf("the spec prints as %q", s)
		}
		_ = fz.spec.LogValue().String()
		if timeout, limited := fz.spec.Timeout(); limited != (timeout > 0) || timeout < 0 {
			t.Errorf("timeout %v, %v", timeout, limited)
		}
		if retries, limited := fz.spec.MaxRetries(); retries < 0 || !limited && retries != 0 {
			t.Errorf("%d retries, %v", retries, limited)
		}
		same(t, "twice the same", fz.spec.With().String(), fz.spec.String())
		same(t, "registered", len(sup.List()), 0)
	})
}
