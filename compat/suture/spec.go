package suture

import (
	"fmt"
	"log"
	"math/rand/v2"
	"time"
)

// Spec configures a supervisor; see [New]. A field that is zero has its default.
type Spec struct {
	// EventHook is told what goes wrong; by default it is printed by package log. A
	// supervisor that is added to another gets the other's.
	EventHook EventHook
	// Sprint makes the text of a panic's value; fmt.Sprint's by default.
	Sprint SprintFunc
	// FailureDecay is the time, in seconds, in which the count of failures halves; 30
	// by default.
	FailureDecay float64
	// FailureThreshold is the count of failures beyond which nothing is restarted for a
	// FailureBackoff; 5 by default.
	FailureThreshold float64
	// FailureBackoff is how long restarts then wait; 15 s by default. After it the
	// count is 0.
	FailureBackoff time.Duration
	// BackoffJitter varies the FailureBackoff; a DefaultJitter by default.
	BackoffJitter Jitter
	// Timeout is how long a service has to return when it is stopped; 10 s by default.
	Timeout time.Duration
	// PassThroughPanics lets a panic of a service end the process.
	PassThroughPanics bool
	// DontPropagateTermination has ErrTerminateSupervisorTree end this supervisor and
	// not the one around it.
	DontPropagateTermination bool
}

// withDefaults returns s with its zero fields set.
func (s Spec) withDefaults() Spec {
	if s.EventHook == nil {
		s.EventHook = func(e Event) { log.Print(e) }
	}
	if s.Sprint == nil {
		s.Sprint = func(v any) string { return fmt.Sprint(v) }
	}
	if s.FailureDecay == 0 {
		s.FailureDecay = 30
	}
	if s.FailureThreshold == 0 {
		s.FailureThreshold = 5
	}
	if s.FailureBackoff == 0 {
		s.FailureBackoff = 15 * time.Second
	}
	if s.BackoffJitter == nil {
		s.BackoffJitter = &DefaultJitter{}
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	return s
}

// backoff draws how long restarts are held back. A Jitter that panics must not hold
// them back for ever.
func (s Spec) backoff() (d time.Duration) {
	d = s.FailureBackoff
	defer func() { _ = recover() }()
	return s.BackoffJitter.Jitter(d)
}

// Jitter varies a duration.
type Jitter interface {
	Jitter(time.Duration) time.Duration
}

// NoJitter leaves a duration as it is.
type NoJitter struct{}

// Jitter returns d.
func (NoJitter) Jitter(d time.Duration) time.Duration { return d }

// DefaultJitter lengthens a duration by up to a half. It is safe for concurrent use.
type DefaultJitter struct{ _ struct{} }

// Jitter returns a duration drawn uniformly from d to 1.5·d.
func (*DefaultJitter) Jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Float64()/2*float64(d))
}
