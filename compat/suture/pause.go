package suture

import (
	"math"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// pause counts the failures of a supervisor's services, and holds restarts back when
// there were too many. It is the gate of all its services.
type pause struct {
	decay, threshold float64

	mu       sync.Mutex // guards the fields below
	failures float64
	last     time.Time // of the last failure
	held     bool
	over     bool // the supervisor has ended
	timer    *time.Timer
	waiting  []func()
}

// fail counts one more failure. It returns the count, whether restarts are held back
// now, and whether they are so from now on: who is told so calls hold.
func (p *pause) fail(now time.Time) (count float64, held, begins bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	halvings := now.Sub(p.last).Seconds() / p.decay // the first time, of a count of 0
	p.failures = p.failures*math.Exp2(-halvings) + 1
	p.last = now
	begins = !p.held && p.failures > p.threshold
	p.held = p.held || begins
	return p.failures, p.held, begins
}

// hold has resumed called, and restarts go on, in d.
func (p *pause) hold(d time.Duration, resumed func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.timer = time.AfterFunc(d, func() {
		for _, ready := range p.release(resumed) {
			ready()
		}
	})
}

// release ends the pause and returns who waits for that. resumed does not block.
func (p *pause) release(resumed func()) []func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	resumed()
	waiting := p.waiting
	p.held, p.failures, p.waiting = false, 0, nil
	return waiting
}

// end keeps a pause from ending, since the supervisor has.
func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// Enter lets first attempts pass: what is added during a pause starts.
func (p *pause) Enter(a taskvisor.Attempt, ready func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held || a.Number == 1 {
		return true
	}
	p.waiting = append(p.waiting, ready)
	return false
}

// Leave has nothing to give back. Who waits no more is asked once more after the
// pause, in vain.
func (*pause) Leave(taskvisor.Attempt) {}

// String is what statuses, events and metrics show.
func (*pause) String() string { return "failure_backoff" }
