package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Measured is what one round has shown.
type Measured struct {
	Kept     bool          // the lease has not changed hands
	Takeover time.Duration // from the fault, or the engine's return, to the first write of another term; of a lease that was kept, the longest time without a write
	Stopped  time.Duration // from the fault to the last write of the old term; for a pause, from its end
	Overlap  time.Duration // of the old term's writes behind the first of the new
	Stale    int           // writes of the old term behind it, which the resource refused
	Fallen   int           // terms that began with a token no greater than one before
	Found    string        // the note that the term after the fault has found; "": none
	Left     string        // the one that the term before has left
}

// errTaken is what no delay excuses.
var errTaken = errors.New("the resource has taken a stale write")

// rig is an engine, a resource and three replicas.
type rig struct {
	engine   Engine
	ttl      time.Duration
	log      io.Writer
	by, key  string
	resource *resource
	replicas []*process
}

type process struct {
	name    string
	cmd     *exec.Cmd
	proxies []*proxy // to each member
}

func (p *process) each(do func(x *proxy)) error {
	for _, x := range p.proxies {
		do(x)
	}
	return nil
}

// round starts everything, brings one fault about and measures.
func (r *rig) round(ctx context.Context, f Fault) (m Measured, err error) {
	if f.engine { // as the next round wants it
		defer func() { err = errors.Join(err, r.mend(f)) }()
	}
	if r.resource, err = newResource(); err != nil {
		return m, err
	}
	defer func() { _ = r.resource.listener.Close() }()
	defer r.end()
	for i := range 3 {
		if err := r.start(fmt.Sprint("r", i)); err != nil {
			return m, err
		}
	}
	old, err := r.owner(ctx)
	if err != nil {
		return m, err
	}
	// Somewhere between two renewals, and long enough for all to be in place.
	if err := sleep(ctx, r.ttl/2+rand.N(r.ttl/2)); err != nil {
		return m, err
	}
	if old, err = r.latest(old); err != nil {
		return m, err
	}
	m, err = r.suffer(ctx, f, old)
	m.Fallen = r.resource.fallen()
	return m, err
}

func (r *rig) mend(f Fault) (err error) {
	if f.Need.Clock {
		err = r.engine.(Clock).Move(0)
	}
	return errors.Join(err, r.engine.Up())
}

// suffer brings the fault about and waits for what follows.
func (r *rig) suffer(ctx context.Context, f Fault, old write) (m Measured, err error) {
	owner := r.process(old.replica)
	begun := time.Now()
	if err := f.bring(r, owner); err != nil {
		return m, err
	}
	undone := begun
	if f.lasts > 0 {
		if err := sleep(ctx, f.lasts*r.ttl); err != nil {
			return m, err
		}
		undone = time.Now()
		if err := f.undo(r, owner); err != nil {
			return m, err
		}
	}
	limit := 4 * r.ttl
	if f.keeps {
		limit = 2 * r.ttl
	}
	first, ok, err := r.successor(ctx, begun, old.token, limit)
	if err != nil {
		return m, err
	}
	if !ok {
		return r.kept(begun, limit)
	}
	if err := sleep(ctx, r.ttl); err != nil { // for what the old one may still do
		return m, err
	}
	m.Found, m.Left = first.note, noteOf(old.replica, old.token)
	m.Takeover = first.at.Sub(begun)
	if f.Name == "engine" {
		m.Takeover = max(0, first.at.Sub(undone))
	}
	from := begun
	if f.Name == "pause" { // between, it did not run
		from = undone
	}
	for _, w := range r.resource.since(begun) {
		if w.token != old.token {
			continue
		}
		m.Stopped = max(m.Stopped, w.at.Sub(from))
		if w.at.After(first.at) {
			m.Overlap = w.at.Sub(later(first.at, from))
			m.Stale++
			if !w.stale {
				return m, errTaken
			}
		}
	}
	return m, nil
}

// kept measures the longest time without a write instead of a takeover.
func (r *rig) kept(begun time.Time, limit time.Duration) (m Measured, err error) {
	m.Kept = true
	last := begun
	for _, w := range r.resource.since(begun) {
		m.Takeover = max(m.Takeover, w.at.Sub(last))
		last = w.at
	}
	if silent := time.Since(last); silent > r.ttl {
		return m, fmt.Errorf("nobody took over in %s, and nothing was written for the last %s", limit, silent)
	}
	return m, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// owner waits for the first writes.
func (r *rig) owner(ctx context.Context) (write, error) {
	for begun := time.Now(); time.Since(begun) < 30*time.Second; {
		if w, ok := r.resource.last(); ok {
			return w, nil
		}
		if err := sleep(ctx, period); err != nil {
			return write{}, err
		}
	}
	return write{}, errors.New("nobody works")
}

// latest is the owner once all is in place: the first one still, as a rule.
func (r *rig) latest(old write) (write, error) {
	w, ok := r.resource.last()
	if !ok || time.Since(w.at) > r.ttl/2 {
		return old, errors.New("nobody works any more, before the fault")
	}
	return w, nil
}

// successor waits for the first write under another token.
func (r *rig) successor(ctx context.Context, since time.Time, old uint64, limit time.Duration) (first write, ok bool, err error) {
	for begun := time.Now(); time.Since(begun) < limit; {
		for _, w := range r.resource.since(since) {
			if w.token != old {
				return w, true, nil
			}
		}
		if err := sleep(ctx, period); err != nil {
			return first, false, err
		}
	}
	return first, false, nil
}

func (r *rig) process(name string) *process {
	for _, p := range r.replicas {
		if p.name == name {
			return p
		}
	}
	return nil
}

// start starts a replica behind proxies.
func (r *rig) start(name string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p := &process{name: name}
	r.replicas = append(r.replicas, p)
	var addrs []string
	for _, addr := range r.engine.Addrs() {
		x, err := newProxy(addr)
		if err != nil {
			return err
		}
		p.proxies = append(p.proxies, x)
		addrs = append(addrs, x.addr())
	}
	p.cmd = exec.Command(exe, "replica", "-name", name, "-by", r.by, "-ttl", r.ttl.String(), "-key", r.key, //nolint:gosec // it is this program
		"-engine", strings.Join(addrs, ","), "-more", r.engine.More(), "-resource", r.resource.listener.Addr().String())
	p.cmd.Stderr = r.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p.cmd.Start()
}

// end kills the replicas.
func (r *rig) end() {
	for _, p := range r.replicas {
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait() // its error is the signal
		}
		for _, x := range p.proxies {
			x.close()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
