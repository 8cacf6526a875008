package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Fault is what happens to the replica that works, or to the engine.
type Fault struct {
	Name string
	Need Need

	engine bool          // it is the engine's: rounds wait for each other
	keeps  bool          // the lease need not change hands
	lasts  time.Duration // in TTLs; 0: it is not undone
	bring  func(r *rig, owner *process) error
	undo   func(r *rig, owner *process) error
}

// Need is what a fault wants of the engine.
type Need struct {
	Members int  // of a cluster; 0: one
	Clock   bool // that can be moved: it is a [Clock]
}

// Faults are all.
var Faults = []Fault{
	{Name: "kill", bring: func(_ *rig, p *process) error { return p.cmd.Process.Kill() }},
	{Name: "term", bring: signaled(syscall.SIGTERM)},
	{Name: "pause", lasts: 2, bring: signaled(syscall.SIGSTOP), undo: signaled(syscall.SIGCONT)},
	{Name: "cut", lasts: 2,
		bring: func(_ *rig, p *process) error { return p.each(func(x *proxy) { x.setCut(true) }) },
		undo:  func(_ *rig, p *process) error { return p.each(func(x *proxy) { x.setCut(false) }) }},
	{Name: "drop", keeps: true, bring: func(_ *rig, p *process) error { return p.each((*proxy).drop) }},
	{Name: "engine", engine: true, lasts: 2,
		bring: func(r *rig, _ *process) error { r.engine.Down(); return nil },
		undo:  func(r *rig, _ *process) error { return r.engine.Up() }},
	{Name: "leader", engine: true, keeps: true, Need: Need{Members: 3}, bring: func(r *rig, _ *process) error {
		cluster, ok := r.engine.(Cluster)
		if !ok {
			return errors.New("the engine has no leader")
		}
		return cluster.KillLeader()
	}},
	{Name: "clock ahead", engine: true, Need: Need{Clock: true}, bring: moved(2)},
	{Name: "clock back", engine: true, keeps: true, Need: Need{Clock: true}, bring: moved(-2)},
	{Name: "clock back, kill", engine: true, Need: Need{Clock: true}, bring: func(r *rig, p *process) error {
		return errors.Join(p.cmd.Process.Kill(), moved(-2)(r, p))
	}},
}

func signaled(s syscall.Signal) func(*rig, *process) error {
	return func(_ *rig, p *process) error { return p.cmd.Process.Signal(s) }
}

// moved moves the engine's clock by that many TTLs.
func moved(by time.Duration) func(*rig, *process) error {
	return func(r *rig, _ *process) error {
		clock, ok := r.engine.(Clock)
		if !ok {
			return errors.New("the engine's clock cannot be moved")
		}
		return clock.Move(by * r.ttl)
	}
}

// Prove has package lease suffer a fault until a round is as [Judge] wants it, three times
// at most: a machine that is too busy is a pause of everybody. What no delay excuses counts
// at once. ErrNeed is that the engine cannot have the fault.
func (p Program) Prove(ctx context.Context, f Fault, ttl time.Duration, log io.Writer) (m Measured, err error) {
	for range 3 {
		all, failed := p.Rounds(ctx, 1, p.Contenders[0].Name, f, ttl, log)
		if all != nil {
			m = all[0]
		}
		if err = failed; err == nil {
			err = Judge(f, m, ttl)
		}
		if err == nil || all == nil || errors.Is(err, errTaken) || m.Fallen > 0 {
			return m, err
		}
		_, _ = fmt.Fprintln(log, f.Name, "again:", err)
	}
	return m, err
}

// Judge says what is wrong with a round of package lease: whoever takes over does so
// within the TTL and what it takes to notice; the old owner has stopped before, unless
// it was paused, or the engine's clock went ahead, and then the resource refuses what it
// writes. The new one has found the note of the old, whatever has happened to that.
func Judge(f Fault, m Measured, ttl time.Duration) (err error) {
	limit := ttl + 2*time.Second
	switch f.Name {
	case "term":
		limit = ttl / 2
	case "engine":
		limit = 5 * ttl // clients wait longer and longer between two connections
	case "clock back, kill":
		limit += 2 * ttl // by so much later it expires
	}
	overlap := time.Duration(0)
	switch f.Name {
	case "pause":
		overlap = ttl / 4
	case "clock ahead":
		overlap = ttl/5 + ttl/4 // the next renewal finds out, and the body has its grace
	}
	switch {
	case m.Kept && !f.keeps:
		err = errors.New("it has not changed hands")
	case !m.Kept && (f.Name == "drop" || f.Name == "clock back"):
		err = errors.New("it has changed hands")
	case m.Takeover > limit:
		err = fmt.Errorf("nobody worked for %s", m.Takeover)
	}
	if m.Overlap > overlap || (overlap == 0 && m.Stale > 0) {
		err = errors.Join(err, fmt.Errorf("they overlapped for %s, with %d stale writes", m.Overlap, m.Stale))
	}
	if m.Fallen > 0 {
		err = errors.Join(err, fmt.Errorf("%d terms began with a token no greater than one before", m.Fallen))
	}
	if m.Found != m.Left {
		err = errors.Join(err, fmt.Errorf("the next has found the note %q, and not %q", m.Found, m.Left))
	}
	if f.Name == "engine" && m.Stopped > ttl {
		err = errors.Join(err, fmt.Errorf("it went on for %s without an engine", m.Stopped))
	}
	return err
}
