// Package alertlab makes the tests of the alert rules: it runs real supervisors with
// promsub in a bubble of testing/synctest, where an hour costs nothing, scrapes them as
// Prometheus would, and writes what was scraped as input for promtool. So no series of
// a rule's test is one that the product could not have made.
package alertlab

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Lab is one run: a Prometheus, its targets, and a fake clock. It is used by one
// goroutine, inside of a bubble.
type Lab struct {
	t          testing.TB
	extra      map[string]string // labels that the targets carry beside job and instance
	native     bool              // histograms are scraped in their native form only
	wanted     func(name string, labels map[string]string) bool
	targets    []*Process
	start      time.Time
	every      time.Duration // from one scrape, and one evaluation of the rules, to the next
	steps      int           // scrapes so far
	series     map[string]*line
	objectives map[[2]string]float64 // by job and task
	down       bool                  // Prometheus itself does not run
	end        chan struct{}         // closed when the run is over, for bodies that ignore their context
}

// Process is a program with one supervisor, and what Prometheus knows of it.
type Process struct {
	*taskvisor.Supervisor

	Sub    *promsub.Subscriber
	lab    *Lab
	labels map[string]string
	reg    *prometheus.Registry
	gone   bool // it answers no more
	listed bool // the discovery of targets knows it
	seen   map[string]bool
}

// run makes a lab and hands it to script in a bubble.
func (v variant) run(t *testing.T, script func(*Lab)) (l *Lab) {
	synctest.Test(t, func(t *testing.T) {
		l = &Lab{
			t: t, extra: v.extra, native: v.native, wanted: v.wanted, every: v.every,
			start: time.Now(), series: map[string]*line{}, end: make(chan struct{}),
		}
		l.scrape()
		time.Sleep(11300 * time.Millisecond) // what the program does never falls on a scrape
		script(l)
		close(l.end)
		for _, p := range l.targets {
			if p.Supervisor != nil {
				stop(p.Supervisor)
			}
		}
		time.Sleep(time.Minute) // requests about leases that are on their way
	})
	return l
}

func stop(sup *taskvisor.Supervisor) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_ = sup.Shutdown(ctx) // what it says is a scenario's own business
	<-sup.Done()
}

// Start begins a program at an address of its own, or at that of one that is gone.
func (l *Lab) Start(instance string, opts ...taskvisor.Option) *Process {
	return l.StartNamed(instance, "main", nil, opts...)
}

// StartNamed is Start with options for the subscriber, and a name for the supervisor.
func (l *Lab) StartNamed(instance, name string, of []promsub.Option, opts ...taskvisor.Option) *Process {
	l.t.Helper()
	p := &Process{lab: l, reg: prometheus.NewRegistry(), listed: true, seen: map[string]bool{}}
	p.labels = map[string]string{"job": "app", "instance": instance}
	maps.Copy(p.labels, l.extra)
	for _, former := range l.targets {
		if former.listed && former.labels["instance"] == instance {
			former.listed, p.seen, former.seen = false, former.seen, nil
		}
	}
	p.Sub = promsub.New(p.reg, of...)
	sup, err := taskvisor.New(append([]taskvisor.Option{
		taskvisor.WithName(name), taskvisor.WithSubscriber(p.Sub),
	}, opts...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	p.Supervisor = sup
	Tick() // a queued subscriber has taken what it takes
	l.targets = append(l.targets, p)
	return p
}

// Foreign lists a target of another job, without a supervisor, that does not answer.
func (l *Lab) Foreign(job, instance string) {
	labels := map[string]string{"job": job, "instance": instance}
	maps.Copy(labels, l.extra)
	l.targets = append(l.targets, &Process{lab: l, labels: labels, gone: true, listed: true})
}

// Objective gives a task of a job an objective, as a recording rule of the user's does.
func (l *Lab) Objective(job, task string, ratio float64) {
	if l.objectives == nil {
		l.objectives = map[[2]string]float64{}
	}
	l.objectives[[2]string{job, task}] = ratio
}

// Done is closed when the run is over: what a body waits for that ignores its context.
func (l *Lab) Done() <-chan struct{} { return l.end }

// Add registers tasks.
func (p *Process) Add(specs ...taskvisor.TaskSpec) *taskvisor.Handle {
	p.lab.t.Helper()
	var h *taskvisor.Handle
	for _, spec := range specs {
		var err error
		if h, err = p.Supervisor.Add(context.Background(), spec); err != nil {
			p.lab.t.Fatal(err)
		}
		Tick()
	}
	return h
}

// Drain ends the supervisor of a program in order, with scrapes meanwhile.
func (p *Process) Drain() {
	go stop(p.Supervisor)
	synctest.Wait()
	for {
		select {
		case <-p.Done():
			return
		default:
			p.lab.Pass(time.Second)
		}
	}
}

// Deploy ends a program in order: it drains, is scraped once more and is gone.
func (p *Process) Deploy() {
	p.Drain()
	p.lab.Pass(p.lab.every)
	p.Kill()
}

// Kill makes a program answer no more, like a machine that is cut off.
func (p *Process) Kill() { p.gone = true }

// Forget takes a program from the list of targets, as the discovery does with a pod.
func (p *Process) Forget() { p.listed = false }

// Pass lets time go by, with scrapes.
func (l *Lab) Pass(d time.Duration) {
	for until := time.Now().Add(d); ; {
		next := l.start.Add(time.Duration(l.steps) * l.every)
		if next.After(until) {
			sleep(time.Until(until))
			return
		}
		sleep(time.Until(next))
		l.scrape()
	}
}

// Tick lets a moment go by, so that no two things that a script does fall on one instant.
func Tick() { sleep(time.Millisecond) }

// sleep returns when all that is due at its end has happened as well. Its own timer may be
// the first of several that are: what a script sees and does then would depend on it.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Gap lets time go by while Prometheus does not run.
func (l *Lab) Gap(d time.Duration) {
	l.down = true
	l.Pass(d)
	l.down = false
}

// Relabel gives the targets another label, as an operator does who adds one.
func (l *Lab) Relabel(name, value string) {
	for _, p := range l.targets {
		p.labels = maps.Clone(p.labels)
		p.labels[name] = value
	}
}

func (l *Lab) scrape() {
	defer func() { l.steps++ }()
	if l.down {
		return
	}
	for of, ratio := range l.objectives {
		name, labels := "taskvisor_task_objective_ratio", map[string]string{"job": of[0], "task": of[1]}
		if l.wanted(name, labels) {
			l.line(seriesName(name, labels)).set(l.steps, number(ratio))
		}
	}
	for _, p := range l.targets {
		if p.listed {
			p.scrape()
		} else {
			l.stale(p.seen, nil)
			p.seen = nil
		}
	}
}

// scrape records what a target says, and that what it said no more is stale.
func (p *Process) scrape() {
	now := map[string]bool{}
	record := func(name string, labels map[string]string, value string) {
		maps.Copy(labels, p.labels)
		if !p.lab.wanted(name, labels) {
			return
		}
		key := seriesName(name, labels)
		now[key] = true
		p.lab.line(key).set(p.lab.steps, value)
	}
	up := "1"
	if p.gone {
		up = "0"
	}
	record("up", map[string]string{}, up)
	if !p.gone {
		families, err := p.reg.Gather()
		if err != nil {
			p.lab.t.Fatal(err)
		}
		for _, f := range families {
			flatten(f, p.lab.native, record)
		}
	}
	p.lab.stale(p.seen, now)
	p.seen = now
}

func (l *Lab) stale(before, now map[string]bool) {
	for key := range before {
		if !now[key] {
			l.line(key).set(l.steps, "stale")
		}
	}
}

func (l *Lab) line(key string) *line {
	if l.series[key] == nil {
		l.series[key] = &line{}
	}
	return l.series[key]
}

// names returns the series, sorted.
func (l *Lab) names() []string { return slices.Sorted(maps.Keys(l.series)) }
