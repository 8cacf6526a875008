package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// FuzzBackoffDelay: never negative, never above the limit, never wrapping, for
// every policy, valid or not, every n and every draw; and within the range of its
// jitter, growing with n, for valid ones.
func FuzzBackoffDelay(f *testing.F) {
	f.Add(int64(200*time.Millisecond), int64(30*time.Second), 2.0, uint8(2), 3, 0.5)
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), math.MaxFloat64, uint8(3), math.MaxInt, math.Nextafter(1, 0))
	f.Add(int64(1), int64(math.MaxInt64), 1.0000001, uint8(3), 1<<40, 0.999)
	f.Add(int64(-1), int64(5), math.Inf(-1), uint8(9), -3, math.NaN())
	f.Add(int64(1000), int64(math.MaxInt64), 1e18, uint8(1), 1, 0.25)
	f.Add(int64(math.MaxInt64/3), int64(math.MaxInt64), 1.0, uint8(3), 0, math.Nextafter(1, 0))
	f.Fuzz(func(t *testing.T, first, limit int64, factor float64, jitter uint8, n int, u float64) {
		b := taskvisor.BackoffPolicy{First: time.Duration(first), Max: time.Duration(limit), Factor: factor, Jitter: taskvisor.Jitter(jitter)}
		d := b.Delay(n, u)
		if d < 0 || d > max(b.First, b.Max, 0) {
			t.Fatalf("%+v.Delay(%d, %v) = %d", b, n, u, d)
		}
		if d != b.Delay(n, u) {
			t.Fatalf("%+v.Delay(%d, %v) is not a function", b, n, u)
		}
		_ = b.String()
		if b.Validate() != nil {
			return
		}
		plain := b
		plain.Jitter = taskvisor.NoJitter
		base := plain.Delay(n, 0)
		if base < b.First || base > b.Max {
			t.Fatalf("%+v: base %d of retry %d is outside [first, max]", b, base, n)
		}
		if n < math.MaxInt && n >= 0 && plain.Delay(n+1, 0) < base {
			t.Fatalf("%+v: retry %d has a shorter base than %d", b, n+1, n)
		}
		lo, hi := time.Duration(0), base
		switch b.Jitter {
		case taskvisor.NoJitter:
			lo = base
		case taskvisor.EqualJitter:
			lo = base / 2
		case taskvisor.BandJitter:
			lo, hi = b.First, b.Max
			if base <= b.Max/3 {
				hi = 3 * base
			}
		}
		if d < lo || d > hi {
			t.Fatalf("%+v.Delay(%d, %v) = %d is outside [%d, %d]", b, n, u, d, lo, hi)
		}
	})
}

// FuzzNames: a name is accepted exactly if it is 1 to 128 bytes of valid UTF-8
// without control characters.
func FuzzNames(f *testing.F) {
	for name := range wrongNames {
		f.Add(name)
	}
	f.Add("mailer")
	f.Add("\ufffd")
	sup, err := taskvisor.New()
	if err != nil {
		f.Fatal(err)
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		valid := name != "" && len(name) <= 128 && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0
		_, err := sup.Add(context.Background(), taskvisor.Once(name, noWork)) // valid: the supervisor is closed
		same(t, "accepted", errors.Is(err, taskvisor.ErrShuttingDown), valid)
		var refused *taskvisor.TaskError
		if !errors.As(err, &refused) || refused.Task != name || name != "" && !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Fatalf("error %v does not name %q", err, name)
		}
		_, err = taskvisor.New(taskvisor.WithName(name))
		same(t, "supervisor's name", err == nil, valid)
	})
}
