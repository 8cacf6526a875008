package flightsub

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/trace"
	"time"
)

// Trigger is what an incident is kept of.
type Trigger uint8

// The triggers. All are in force unless [WithTriggers] says otherwise.
const (
	Panic         Trigger = iota + 1 // an attempt panicked
	Stuck                            // a body runs long after its deadline or its stop
	Abandoned                        // a body outlived its grace
	GaveUp                           // a task ended failed or fatal
	IdleTimeout                      // a body was silent for too long; see [taskvisor.WithIdleTimeout]
	GraceExceeded                    // a shutdown left bodies running
	triggers                         // their number, plus one
)

var triggerLabels = [triggers]string{Panic: "panic", Stuck: "stuck", Abandoned: "abandoned", GaveUp: "gave_up",
	IdleTimeout: "idle_timeout", GraceExceeded: "grace_exceeded"}

// String returns the stable label.
func (t Trigger) String() string {
	if t < triggers && t > 0 {
		return triggerLabels[t]
	}
	return "unknown"
}

const (
	defaultBytes = 64 << 20
	leastBytes   = 1 << 20 // an incident without its trace always fits
	defaultCount = 100
	defaultEvery = time.Minute
	defaultBurst = 10
)

// settings is what the options say. It is read only after New.
type settings struct {
	dir      string // "": memory
	maxBytes int64
	maxCount int
	every    time.Duration
	burst    int
	on       [triggers]bool
	flight   *trace.FlightRecorder // nil: none
	logger   *slog.Logger          // nil: none
	format   func(error) string    // nil: errors are shown as they are
}

func defaults() settings {
	s := settings{maxBytes: defaultBytes, maxCount: defaultCount, every: defaultEvery, burst: defaultBurst, logger: slog.Default()}
	for t := range s.on {
		s.on[t] = t > 0
	}
	return s
}

func (s *settings) validate() error {
	switch {
	case s.maxBytes < leastBytes:
		return fmt.Errorf("flightsub: WithMaxBytes(%d): less than 1 MiB", s.maxBytes)
	case s.maxCount < 1:
		return fmt.Errorf("flightsub: WithMaxCount(%d): less than 1", s.maxCount)
	case s.burst < 1 || s.every < 0:
		return fmt.Errorf("flightsub: WithRate(%s, %d): negative, or none in hand", s.every, s.burst)
	case s.on[0]:
		return errors.New("flightsub: WithTriggers: not a trigger")
	}
	return nil
}

// Option configures a [Recorder]; see [New]. The interface is sealed.
type Option interface{ apply(s *settings) }

type option func(s *settings)

func (o option) apply(s *settings) { o(s) }

// WithDir keeps incidents as files in dir, which is made if it is not there, for its
// owner only. By default they are kept in memory and end with the process. Files of
// others in dir are left alone.
func WithDir(dir string) Option { return option(func(s *settings) { s.dir = dir }) }

// WithMaxBytes bounds what is kept, 64 MiB by default: beyond it the oldest incidents
// go. Less than 1 MiB is an error of [New].
func WithMaxBytes(n int64) Option { return option(func(s *settings) { s.maxBytes = n }) }

// WithMaxCount bounds how many incidents are kept, 100 by default: beyond it the oldest
// go. Less than 1 is an error of [New].
func WithMaxCount(n int) Option { return option(func(s *settings) { s.maxCount = n }) }

// WithRate says how many incidents are made: of a task one in each period every, a
// minute by default, and of all together inHand at once, 10 by default, as many again
// in each period. With every 0 there is no limit, and never one for [GraceExceeded], the
// last event of a supervisor. A negative every, and an inHand below 1, are errors of [New].
func WithRate(every time.Duration, inHand int) Option {
	return option(func(s *settings) { s.every, s.burst = every, inHand })
}

// WithTriggers says what incidents are kept of; by default all triggers are in force.
func WithTriggers(list ...Trigger) Option {
	return option(func(s *settings) {
		s.on = [triggers]bool{}
		for _, t := range list {
			if t >= triggers {
				t = 0 // New says so
			}
			s.on[t] = true
		}
	})
}

// WithFlightRecorder adds what the recorder has to each incident. The program starts
// and stops it, and may write its contents elsewhere too; a process has one at most. A
// recording of more than half of [WithMaxBytes] is left out.
func WithFlightRecorder(r *trace.FlightRecorder) Option {
	return option(func(s *settings) { s.flight = r })
}

// WithLogger says where a line is written for each incident, at level Warn, with its id
// and path; to slog.Default() by default, and nowhere if l is nil.
func WithLogger(l *slog.Logger) Option { return option(func(s *settings) { s.logger = l }) }

// WithErrorFormatter shows errors as the string that f returns, as the option of that
// name of package slogsub does for logs: f is given every error of the tree, and every
// stack, as an error whose text is the stack. It is the place to remove what must not be
// shown. f is called on the subscriber's own goroutine; when it panics, nothing of the
// error is shown. Notes and recordings are kept as they are.
func WithErrorFormatter(f func(error) string) Option {
	return option(func(s *settings) { s.format = f })
}
