package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

// The jobs under which Prometheus knows the service.
const (
	jobScraped = "shop"
	jobPushed  = "shop-otlp"
	count      = 3 // replicas of each
)

// jobs are both.
var jobs = []string{jobScraped, jobPushed}

// env is what the checks ask.
type env struct {
	prometheus            ask.Prometheus
	server, first, boards string
	patience              time.Duration
	began                 time.Time
	running               []*process // the scraped ones first
	leases                *Leases
	engine                string // their address
}

// process is one replica that runs.
type process struct {
	replica
	cmd  *exec.Cmd
	done chan error // gets the exit status
}

// startAll starts all replicas. The last of each kind is ill.
func (e *env) startAll() error {
	host, text, err := net.SplitHostPort(e.first)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	for i, job := range jobs {
		for k := range count {
			p := &process{replica: replica{
				listen: net.JoinHostPort(host, strconv.Itoa(port+i*count+k)), job: job,
				instance: fmt.Sprint("r", k), pushed: job == jobPushed, ill: k == count-1,
			}}
			e.running = append(e.running, p)
			if err := e.start(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *env) start(p *process) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(exe, "-serve", "-prometheus", e.server, "-listen", p.listen, "-job", p.job, "-instance", p.instance, "-leases", e.engine,
		"-pushed="+strconv.FormatBool(p.pushed), "-ill="+strconv.FormatBool(p.ill))
	p.cmd.Stdout, p.cmd.Stderr = os.Stdout, os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan error, 1)
	// Ends with the process; whoever wants its status reads done.
	go func(cmd *exec.Cmd, done chan<- error) { done <- cmd.Wait() }(p.cmd, p.done)
	return nil
}

// kill ends what still runs, however.
func (e *env) kill() {
	for _, p := range e.running {
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill() // it may have ended
		}
	}
}

// drain tells a replica to end, as a platform does.
func (p *process) drain() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// quit lets a replica that has drained go, and wants a clean end.
func (e *env) quit(ctx context.Context, p *process) error {
	if _, _, err := ask.Request(ctx, http.MethodPost, "http://"+p.listen+"/quit"); err != nil {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-time.After(e.patience):
		return errors.New("it does not end")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// until asks until the answer has exactly one value, and that is wanted.
func (e *env) until(ctx context.Context, expr string, want float64) error {
	for began := time.Now(); ; checklist.Pause(ctx, 300*time.Millisecond) {
		v, err := e.prometheus.Scalar(ctx, expr)
		if err == nil && v == want {
			return nil
		}
		if time.Since(began) > e.patience || ctx.Err() != nil {
			return errors.Join(err, fmt.Errorf("%s is %v, want %v", expr, v, want))
		}
	}
}
