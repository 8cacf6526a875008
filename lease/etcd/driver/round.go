package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// fault is what happens to the replica that works, or to the engine.
type fault struct {
	name  string
	bring func(r *rig, owner *process) error
	nodes int           // of etcd; 0: one
	after time.Duration // of ttls: how long the fault lasts; 0: it is not undone
	undo  func(r *rig, owner *process) error
}

var faults = []fault{
	{name: "kill", bring: func(_ *rig, p *process) error { return p.cmd.Process.Kill() }},
	{name: "term", bring: func(_ *rig, p *process) error { return p.cmd.Process.Signal(syscall.SIGTERM) }},
	{name: "pause", after: 2,
		bring: func(_ *rig, p *process) error { return p.cmd.Process.Signal(syscall.SIGSTOP) },
		undo:  func(_ *rig, p *process) error { return p.cmd.Process.Signal(syscall.SIGCONT) }},
	{name: "cut", after: 2,
		bring: func(_ *rig, p *process) error { p.setCut(true); return nil },
		undo:  func(_ *rig, p *process) error { p.setCut(false); return nil }},
	{name: "engine", after: 2,
		bring: func(r *rig, _ *process) error { r.etcd.down(); return nil },
		undo:  func(r *rig, _ *process) error { return r.etcd.up() }},
	{name: "leader", nodes: 3, bring: func(r *rig, _ *process) error {
		i, err := r.etcd.leader()
		if err == nil {
			r.etcd.kill(i)
		}
		return err
	}},
}

// measured is what one round has shown.
type measured struct {
	takeover time.Duration // from the fault, or the engine's return, to the first write of another term
	stopped  time.Duration // from the fault to the last write of the old term; for a pause, from its end
	overlap  time.Duration // of the old term's writes behind the first of the new
	stale    int           // writes of the old term behind it, which the resource refused
}

// errTaken is what no delay excuses.
var errTaken = errors.New("the resource has taken a stale write")

// rig is an engine, a resource and three replicas.
type rig struct {
	etcd     *cluster
	resource *resource
	replicas []*process
}

type process struct {
	name    string
	cmd     *exec.Cmd
	proxies []*proxy // to each member
}

func (p *process) setCut(cut bool) {
	for _, x := range p.proxies {
		x.setCut(cut)
	}
}

func (p *process) endpoints() string {
	var all []string
	for _, x := range p.proxies {
		all = append(all, "http://"+x.addr())
	}
	return strings.Join(all, ",")
}

// round starts everything, brings one fault about and measures.
func round(ctx context.Context, by string, f fault, ttl time.Duration, log io.Writer) (m measured, err error) {
	dir, err := os.MkdirTemp("", "driver")
	if err != nil {
		return m, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &rig{}
	if r.etcd, err = newCluster(max(f.nodes, 1), dir); err != nil {
		return m, err
	}
	defer r.etcd.down()
	if r.resource, err = newResource(); err != nil {
		return m, err
	}
	defer func() { _ = r.resource.listener.Close() }()
	defer r.end()
	for i := range 3 {
		if err := r.start(fmt.Sprint("r", i), by, ttl, log); err != nil {
			return m, err
		}
	}
	old, err := r.owner(ctx)
	if err != nil {
		return m, err
	}
	// Somewhere between two renewals, and long enough for all to be in place.
	if err := sleep(ctx, ttl/2+time.Duration(time.Now().UnixNano())%(ttl/2)); err != nil {
		return m, err
	}
	return r.suffer(ctx, f, old, ttl)
}

// suffer brings the fault about and waits for what follows.
func (r *rig) suffer(ctx context.Context, f fault, old write, ttl time.Duration) (m measured, err error) {
	owner := r.process(old.replica)
	begun := time.Now()
	if err := f.bring(r, owner); err != nil {
		return m, err
	}
	undone := begun
	if f.after > 0 {
		if err := sleep(ctx, f.after*ttl); err != nil {
			return m, err
		}
		undone = time.Now()
		if err := f.undo(r, owner); err != nil {
			return m, err
		}
	}
	first, err := r.successor(ctx, begun, old.token, 4*ttl)
	switch {
	case err == nil:
	case f.name == "leader": // it need not change hands
		return r.uninterrupted(begun, m)
	default:
		return m, err
	}
	if err := sleep(ctx, ttl); err != nil { // for what the old one may still do
		return m, err
	}
	m.takeover = first.at.Sub(begun)
	if f.name == "engine" {
		m.takeover = first.at.Sub(undone)
	}
	from := begun
	if f.name == "pause" { // between, it did not run
		from = undone
	}
	for _, w := range r.resource.since(begun) {
		if w.token != old.token {
			continue
		}
		m.stopped = max(m.stopped, w.at.Sub(from))
		if w.at.After(first.at) {
			m.overlap = w.at.Sub(later(first.at, from))
			m.stale++
			if !w.stale {
				return m, errTaken
			}
		}
	}
	return m, nil
}

// uninterrupted measures the longest time without a write instead of a takeover.
func (r *rig) uninterrupted(begun time.Time, m measured) (measured, error) {
	last := begun
	for _, w := range r.resource.since(begun) {
		m.takeover = max(m.takeover, w.at.Sub(last))
		last = w.at
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
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return write{}, err
		}
	}
	return write{}, errors.New("nobody works")
}

// successor waits for the first write under another token.
func (r *rig) successor(ctx context.Context, since time.Time, old uint64, limit time.Duration) (write, error) {
	for begun := time.Now(); time.Since(begun) < limit; {
		for _, w := range r.resource.since(since) {
			if w.token > old {
				return w, nil
			}
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return write{}, err
		}
	}
	return write{}, fmt.Errorf("nobody took over in %s", limit)
}

func (r *rig) process(name string) *process {
	for _, p := range r.replicas {
		if p.name == name {
			return p
		}
	}
	return nil
}

// start starts a replica behind a proxy.
func (r *rig) start(name, by string, ttl time.Duration, log io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p := &process{name: name}
	for _, config := range r.etcd.configs {
		x, err := newProxy(strings.TrimPrefix(config.Client, "http://"))
		if err != nil {
			return err
		}
		p.proxies = append(p.proxies, x)
	}
	r.replicas = append(r.replicas, p)
	p.cmd = exec.Command(exe, "replica", "-name", name, "-by", by, "-ttl", ttl.String(), "-prefix", "driver/", //nolint:gosec // it is this program
		"-etcd", p.endpoints(), "-resource", r.resource.listener.Addr().String())
	p.cmd.Stderr = log
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
