package alertlab_test

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// fails is a task that ends with its first failure, and panics is one that panics.
func fails(name string, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Once(name, ends("F"), opts...)
}

func panics(name string, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Once(name, func(context.Context) error { panic("broken") }, opts...)
}

var gaveUp = alertlab.File{
	Name:    "TaskGaveUp",
	Comment: "A task ended without success and is not started again.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a task gives up in an old process",
			Run: func(l *lab) {
				p := l.Start("a:1")
				l.Pass(20 * m)
				p.Add(fails("import"))
				l.Pass(25 * m)
			},
			Want: []fires{{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: 20*m + half, To: 35 * m,
				Summary:     "Task import gave up (failed)",
				Description: "import of main on a:1 ended as failed within 15 minutes. Nothing restarts it."}},
		},
		{
			Name: "a task gives up before the first scrape",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Once("migrate", func(context.Context) error { return taskvisor.Fatal(errWork) }))
				l.Pass(25 * m)
			},
			Want: []fires{{Alert: "TaskGaveUp", Labels: task("migrate", "outcome", "fatal"), From: half, To: 15 * m}},
		},
		{
			Name: "a task gives up, and its process ends with it",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(fails("import"))
				l.Pass(m)
				p.Kill()
				p.Forget()
				l.Pass(25 * m)
			},
			Want: []fires{{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: half, To: 15 * m}},
		},
		{
			Name: "two of a kind give up, one after the other",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("keeper", hang, taskvisor.WithKind("import")))
				l.Pass(20 * m)
				p.Add(fails("one", taskvisor.WithKind("import")))
				l.Pass(10 * m)
				p.Add(fails("two", taskvisor.WithKind("import")))
				l.Pass(25 * m)
			},
			Want: []fires{{Alert: "TaskGaveUp", Labels: task("import", "outcome", "failed"), From: 20*m + half, To: 44*m + half}},
		},
	},
}

var panicking = alertlab.File{
	Name:    "TaskPanicking",
	Comment: "A task panics.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a task panics three times",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("probe", m, plan(func(n int) (time.Duration, error) {
					if n >= 20 && n < 23 {
						panic("broken")
					}
					return 0, nil
				}), retry(10*time.Second)))
				l.Pass(40 * m)
			},
			Want: []fires{{Alert: "TaskPanicking", Labels: task("probe", "result", "panic"), From: 19*m + half, To: 29 * m,
				Summary:     "Task probe panics",
				Description: "probe of main on a:1 panicked 2 times within 10 minutes. The panics were contained; the defect is in the task."}},
		},
		{
			Name: "a task panics and is gone before the first scrape of it",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(panics("early"))
				l.Pass(12 * m)
				p.Add(panics("late"))
				l.Pass(30 * m)
			},
			Want: []fires{
				{Alert: "TaskGaveUp", Labels: task("early", "outcome", "failed"), From: half, To: 15 * m},
				{Alert: "TaskPanicking", Labels: task("early", "result", "panic"), From: half, To: 10 * m},
				{Alert: "TaskGaveUp", Labels: task("late", "outcome", "failed"), From: 12*m + half, To: 27 * m},
				{Alert: "TaskPanicking", Labels: task("late", "result", "panic"), From: 12*m + half, To: 22 * m},
			},
		},
	},
}

// deaf ignores its context until the given time has passed.
func deaf(l *lab, d time.Duration) taskvisor.Func {
	return func(context.Context) error {
		select {
		case <-time.After(d):
		case <-l.Done():
		}
		return nil
	}
}

var stuckAlerts = alertlab.File{
	Name:    "AttemptStuck",
	Comment: "Bodies that ignore their deadline or their stop, and shutdowns that wait for them.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a body ignores its deadline for five minutes",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Once("probe", deaf(l, 6*m), taskvisor.WithTimeout(m)))
				l.Pass(10 * m)
			},
			Want: []fires{
				{Alert: "AttemptStuck", From: 3*m + half, To: 6 * m,
					Summary:     "A task of main ignores its deadline or its stop",
					Description: "1 attempts of main on a:1 run on although their context was cancelled. Each holds its name and its permit until it returns."},
				{Alert: "TaskGaveUp", Labels: task("probe", "outcome", "failed"), From: 6*m + half, To: 10 * m},
			},
		},
		{
			Name: "a body is abandoned, and returns at last",
			Run: func(l *lab) {
				p := l.Start("a:1")
				task := p.Add(taskvisor.Once("probe", deaf(l, 12*m), taskvisor.WithGrace(20*time.Second)))
				l.Pass(5 * m)
				task.Stop()
				l.Pass(25 * m)
			},
			Want: []fires{
				{Alert: "AttemptsAbandoned", From: 6 * m, To: 20 * m,
					Summary:     "main gave up waiting for a body to return",
					Description: "1 attempts of main on a:1 outlived their grace. Their goroutines leak until they return; what they were doing was cut off."},
				{Alert: "AttemptStuck", From: 7*m + half, To: 12 * m},
			},
		},
	},
}

var shutdownStuck = alertlab.File{
	Name:    "ShutdownStuck",
	Comment: "Shutdowns that take long, and supervisors that have ended in a process that has not.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a body needs four minutes of a long grace",
			// It is stuck meanwhile, which is nothing to be told of while the supervisor drains.
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithGrace(5*m), taskvisor.WithTaskDefaults(taskvisor.WithGrace(5*m)))
				p.Add(taskvisor.Once("export", deaf(l, 14*m)))
				l.Pass(10 * m)
				p.Deploy()
				l.Pass(m)
			},
			Want: []fires{{Alert: "ShutdownStuck", From: 12*m + half, To: 14 * m,
				Summary:     "main has been shutting down for 2m 18s",
				Description: "main on a:1 began its shutdown 2m 18s ago and still waits for tasks to return."}},
		},
		{
			Name: "a supervisor has stopped, its process has not",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("probe", m, work(0)))
				l.Pass(10 * m)
				p.Drain()
				l.Pass(20 * m)
			},
			Want: []fires{{Alert: "SupervisorStopped", Labels: labels{"state": "stopped"}, From: 20*m + half, To: 30 * m,
				Summary:     "main has stopped, its process has not",
				Description: "main on a:1 has been stopped for 10 minutes in a live process: none of its tasks runs."}},
		},
		{
			Name: "a supervisor has stopped and is closed",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("probe", m, work(0)))
				l.Pass(10 * m)
				p.Drain()
				p.Sub.Close()
				l.Pass(30 * m)
			},
		},
		{
			Name: "a supervisor stops and leaves a body behind",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithTaskDefaults(taskvisor.WithGrace(10*time.Second)))
				p.Add(taskvisor.Once("export", deaf(l, 18*m)))
				l.Pass(10 * m)
				p.Drain()
				l.Pass(10 * m)
			},
			Want: []fires{{Alert: "AttemptsAbandoned", From: 11 * m, To: 20*m + half}},
		},
	},
}

var targetDown = alertlab.File{
	Name:    "TargetDown",
	Comment: "Targets that do not answer.",
	Every:   2 * m,
	Scenarios: []alertlab.Scenario{{
		Name: "one of two is cut off, later taken from the list; another has never answered; one is not ours",
		Run: func(l *lab) {
			l.Foreign("db", "db:1")
			l.Start("b:1").Add(taskvisor.Periodic("probe", m, work(0)))
			p := l.Start("a:1")
			l.Start("c:1").Kill()
			l.Pass(10 * m)
			p.Kill()
			l.Pass(10 * m)
			p.Forget()
			l.Pass(26 * h)
		},
		Want: []fires{
			{Alert: "TargetDown", Labels: labels{"supervisor": ""}, From: 18 * m, To: 20 * m},
			{Alert: "TargetDown", Labels: labels{"supervisor": "", "instance": "c:1"}, From: 8 * m, To: 26*h + 20*m},
		},
	}, {
		Name: "all that there are",
		Run: func(l *lab) {
			p := l.Start("a:1")
			l.Pass(10 * m)
			p.Kill()
			l.Pass(25 * h)
		},
		Want: []fires{{Alert: "TargetDown", Labels: labels{"supervisor": ""}, From: 18 * m, To: 24*h + 8*m,
			Summary:     "a:1 of app is not scraped",
			Description: "Prometheus has had no answer from a:1 of app for 5 minutes. Every other alert about its supervisors is silent meanwhile."}},
	}},
}

var overflow = alertlab.File{
	Name:    "MetricsOverflow",
	Comment: "More tasks than may have series of their own.",
	Scenarios: []alertlab.Scenario{{
		Name: "two tasks more than one",
		Run: func(l *lab) {
			p := l.StartNamed("a:1", "main", []promsub.Option{promsub.WithMaxTasks(1)})
			p.Add(taskvisor.Restartable("one", hang), taskvisor.Restartable("two", hang))
			three := p.Add(taskvisor.Restartable("three", hang))
			l.Pass(20 * m)
			three.Stop()
			l.Pass(5 * m)
		},
		Want: []fires{{Alert: "MetricsOverflow", From: 15*m + half, To: 25 * m,
			Summary:     "Tasks of main share their metrics",
			Description: "2 tasks of main on a:1 have no series of their own and cannot be told apart: alerts about them name _other."}},
	}},
}
