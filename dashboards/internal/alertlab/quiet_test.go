package alertlab_test

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// elsewhere is a lease that another replica holds, of a kind that nobody counts.
type elsewhere struct{}

func (elsewhere) Enter(taskvisor.Attempt, func()) bool { return false }
func (elsewhere) Leave(taskvisor.Attempt)              {}
func (elsewhere) String() string                       { return "lease reports" }

var errMaintenance = errors.New("maintenance")

var quiet = alertlab.File{
	Name:    "quiet",
	Comment: "What happens every day, and nobody is to be told of.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a healthy program",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithMaxConcurrent(8))
				p.Add(
					taskvisor.Periodic("minutely", m, work(2*time.Second)),
					taskvisor.Periodic("flaky", m, ends("FSS"), retry(5*time.Second)),
					taskvisor.Periodic("hourly", h, work(2*m)),
					taskvisor.Periodic("hourly batch", h, work(40*m)),
					taskvisor.Scheduled("nightly", func(prev time.Time) time.Time { return prev.Add(2 * h) }, work(20*m)),
					taskvisor.Restartable("resident", hang),
					taskvisor.Restartable("resident that returns", plan(func(int) (time.Duration, error) { return 2 * h, nil }), taskvisor.RestartAlways(0)),
					taskvisor.Once("job", work(3*h)))
				busy := taskvisor.Submission{Slot: "busy", Task: taskvisor.Once("busy", work(5*h)), Admission: taskvisor.DropIfRunning}
				for range 3 {
					_, _ = p.Submit(context.Background(), busy) // the second and the third are not wanted
				}
				for range 16 {
					submit(p, "slot", 20*time.Second)
					submit(p, "slot too", 20*time.Second)
					l.Pass(15 * m)
				}
			},
		},
		{
			Name: "a deploy at the same address, and one as another pod",
			Run: func(l *lab) {
				program := func(instance string) *alertlab.Process {
					p := l.Start(instance, taskvisor.WithGrace(m), taskvisor.WithTaskDefaults(taskvisor.WithGrace(m)))
					p.Add(
						taskvisor.Periodic("minutely", m, work(2*time.Second)),
						taskvisor.Restartable("consume", func(ctx context.Context) error {
							<-ctx.Done()
							time.Sleep(40 * time.Second) // what it holds must be written
							return ctx.Err()
						}))
					return p
				}
				p := program("a:1")
				l.Pass(30 * m)
				p.Deploy()
				l.Pass(2 * m)
				p = program("a:1")
				l.Pass(30 * m)
				p.Deploy()
				p.Forget()
				program("b:1")
				l.Pass(30 * m)
			},
		},
		{
			Name: "a slow start: a database that is not there yet, tasks that wait for a migration",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(
					taskvisor.Once("migrate", work(14*m)),
					taskvisor.Periodic("minutely", m, plan(func(n int) (time.Duration, error) {
						if n < 12 {
							return 0, errWork
						}
						return 0, nil
					}), retry(15*time.Second)))
				p.Add(taskvisor.Periodic("after", m, work(0), taskvisor.After("migrate")))
				l.Pass(h)
			},
		},
		{
			Name: "a pause of two hours, and a task that is registered paused",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("minutely", m, work(0)), taskvisor.Periodic("later", m, work(0), taskvisor.WithStartPaused()))
				l.Pass(20 * m)
				p.PauseAll(errMaintenance)
				l.Pass(2 * h)
				p.ResumeAll(errMaintenance)
				l.Pass(20 * m)
			},
		},
		{
			Name: "a standby",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("report", m, work(0), taskvisor.WithGate(elsewhere{})), taskvisor.Periodic("minutely", m, work(0)))
				l.Pass(h)
			},
		},
	},
}

// troubled are programs that have had all their troubles in the first minutes: the counts
// stay. A subscriber that loses events has one of its own, where nothing happens that
// could come in one order or another.
func troubled(l *lab) []*alertlab.Process {
	behind := l.Start("b:1", taskvisor.WithSubscriber(clogged{l.Done()}, taskvisor.WithName("log"), taskvisor.Queued(2)))
	behind.Add(taskvisor.Restartable("idle", hang), taskvisor.Restartable("idle too", hang))

	p := l.Start("a:1", taskvisor.WithMaxQueue(1),
		taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded {
				panic("broken")
			}
		}), taskvisor.WithName("audit")))
	kind := taskvisor.WithKind("import")
	p.Add(taskvisor.Restartable("keeper", hang, kind))
	left := p.Add(taskvisor.Once("left", deaf(l, 2*m), kind, taskvisor.WithGrace(time.Second)))
	l.Pass(100 * time.Millisecond)
	left.Stop()
	p.Add(fails("failed", kind), panics("panicked", kind))
	for _, name := range []string{"one", "two", "three"} {
		submit(p, name, 2*m)
	}
	return []*alertlab.Process{behind, p}
}

// earlier are the alerts about it while it is new.
func earlier() []fires {
	return []fires{
		{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: half, To: 15 * m},
		{Alert: "TaskPanicking", Labels: task("import", "result", "panic"), From: half, To: 10 * m},
		{Alert: "AdmissionQueueFull", From: half, To: 5 * m},
		{Alert: "EventsDropped", Labels: labels{"subscriber": "log", "instance": "b:1"}, From: half, To: 5 * m},
		{Alert: "SubscriberFailing", Labels: labels{"subscriber": "audit"}, From: 2*m + half, To: 11*m + half},
		{Alert: "AttemptsAbandoned", From: half, To: 2 * m},
	}
}

var past = alertlab.File{
	Name:    "past",
	Comment: "What is long past stays in the counters, and nobody is to be told of it again.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "the scrapes pause for 25 minutes",
			Run: func(l *lab) {
				troubled(l)
				l.Pass(h)
				l.Gap(25 * m)
				l.Pass(h)
			},
			Want: earlier(),
		},
		{
			Name: "the first scrape of a process that is old",
			Run: func(l *lab) {
				troubled(l)
				l.Gap(2 * h)
				l.Pass(h)
			},
		},
		{
			Name: "the first scrape of a process that is a quarter of an hour old",
			Run: func(l *lab) {
				troubled(l)
				l.Gap(15*m + half)
				l.Pass(h)
			},
		},
		{
			Name: "the first scrape of a process that is ten minutes old",
			Run: func(l *lab) {
				troubled(l)
				l.Gap(10*m + half)
				l.Pass(h)
			},
			Want: []fires{{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: 11 * m, To: 15 * m}},
		},
		{
			Name: "the first scrape of a process that is five minutes old",
			Run: func(l *lab) {
				troubled(l)
				l.Gap(5*m + half)
				l.Pass(h)
			},
			Want: []fires{
				{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: 6 * m, To: 15 * m},
				{Alert: "TaskPanicking", Labels: task("import", "result", "panic"), From: 6 * m, To: 10 * m},
			},
		},
		{
			Name: "a process that ends a minute after its troubles",
			Run: func(l *lab) {
				all := troubled(l)
				l.Pass(m)
				for _, p := range all {
					p.Kill()
					p.Forget()
				}
				l.Pass(h)
			},
			Want: []fires{
				{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: half, To: 15 * m},
				{Alert: "TaskPanicking", Labels: task("import", "result", "panic"), From: half, To: 10 * m},
				{Alert: "AdmissionQueueFull", From: half, To: m},
				{Alert: "EventsDropped", Labels: labels{"subscriber": "log", "instance": "b:1"}, From: half, To: m},
				{Alert: "AttemptsAbandoned", From: half, To: m},
			},
		},
		{
			Name: "a target gets a new label",
			Run: func(l *lab) {
				troubled(l)
				l.Pass(h)
				l.Relabel("zone", "b")
				l.Pass(h)
			},
			Want: earlier(),
		},
	},
}

var files = []alertlab.File{
	crashLooping, failing, gaveUp, panicking, notSucceeding, slow, stuckAlerts, shutdownStuck, restarting, targetDown, overflow,
	queueFull, queueStalled, gateSaturated, eventsDropped, subscriberFailing, leaseNotOwned, leaseOwnedTwice, leaseMarginLow,
	burnsFast, burnsSlowly, quiet, past,
}
