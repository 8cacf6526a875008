package alertlab_test

import (
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var crashLooping = alertlab.File{
	Name:    "TaskCrashLooping",
	Comment: "Five failures and no success between them.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "eleven failures in a row, then a success",
			// The fifth failure is at 4m11s: seen at 4m30s, and fired for 5 minutes later.
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("probe", m, ends("FFFFFFFFFFFS"), retry(m)))
				l.Pass(14 * m)
			},
			Want: []fires{{Alert: "TaskCrashLooping", Labels: task("probe"), From: 9*m + half, To: 11 * m,
				Summary:     "Task probe fails again and again",
				Description: "probe of main on a:1 has failed 10 times without a success in between, and goes on doing so."}},
		},
		{
			Name: "four in a row, and a long time until the fifth attempt succeeds",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("probe", m, plan(func(n int) (time.Duration, error) {
					switch {
					case n < 4:
						return 0, errWork
					case n == 4:
						return 0, taskvisor.RetryAfter(10*m, errWork)
					}
					return 0, nil
				}), retry(m)))
				l.Pass(15 * m)
			},
		},
		{
			Name: "a worker that fails after each long run, so that its streak is never long, and is stopped",
			// Six failures in 15 minutes; the later ones say themselves when to go on.
			// After it was stopped its counters stay.
			Run: func(l *lab) {
				p := l.Start("a:1")
				worker := p.Add(taskvisor.Restartable("consume", plan(func(n int) (time.Duration, error) {
					switch {
					case n == 1:
						return 10 * m, nil
					case n > 9:
						return 2 * m, taskvisor.RetryAfter(half, errWork)
					}
					return 2 * m, errWork
				}), taskvisor.RestartAlways(half), retry(half)))
				l.Pass(40 * m)
				worker.Stop()
				l.Pass(10 * m)
			},
			Want: []fires{
				{Alert: "TaskCrashLooping", Labels: task("consume"), From: 30 * m, To: 40 * m},
				{Alert: "TaskFailing", Labels: task("consume"), From: 38 * m, To: 40 * m},
			},
		},
		{
			Name: "a worker that fails four times in a quarter of an hour",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", plan(func(int) (time.Duration, error) { return 3*m + 15*time.Second, errWork }), retry(15*time.Second)))
				l.Pass(40 * m)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("consume"), From: 32*m + half, To: 40 * m}},
		},
		{
			Name: "a worker that fails four times at once, again and again",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", plan(func(n int) (time.Duration, error) {
					if n%4 == 1 {
						return 7 * m, errWork
					}
					return 0, errWork
				}), retry(10*time.Second)))
				l.Pass(40 * m)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("consume"), From: 30 * m, To: 40 * m}},
		},
		{
			Name: "a new worker that fails after each long run",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", plan(func(int) (time.Duration, error) { return 2 * m, errWork }), retry(half)))
				l.Pass(25 * m)
			},
			Want: []fires{{Alert: "TaskCrashLooping", Labels: task("consume"), From: 20*m + half, To: 25 * m}},
		},
		{
			Name: "a worker that fails four times in a quarter of an hour, and is interrupted as often",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", interrupted(p, "consume", "fC", 105*time.Second), retry(15*time.Second)))
				l.Pass(40 * m)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("consume"), From: 32 * m, To: 40 * m}},
		},
		{
			Name: "a worker that fails four times at once, again and again, and is interrupted in between",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", interrupted(p, "consume", "FFFFCCC", 140*time.Second), retry(10*time.Second)))
				l.Pass(40 * m)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("consume"), From: 23*m + half, To: 40 * m}},
		},
		{
			Name: "a worker that is interrupted every two minutes, for hours", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				worker := p.Add(taskvisor.Restartable("consume", hang))
				for range 240 {
					l.Pass(2 * m)
					worker.Interrupt(errWork)
				}
			},
		},
		{
			Name: "a worker that recovers from an outage, and never says so by a success",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", plan(func(n int) (time.Duration, error) {
					if n == 1 {
						return 20 * m, errWork
					}
					if n < 12 {
						return 0, errWork
					}
					return 10 * h, nil
				}), retry(20*time.Second)))
				l.Pass(45 * m)
			},
		},
		{
			Name: "a worker whose runs fail in turn and succeed",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", plan(func(n int) (time.Duration, error) {
					if n%6 == 0 {
						return 90 * time.Second, nil
					}
					return 90 * time.Second, errWork
				}), taskvisor.RestartAlways(0), taskvisor.WithResetAfter(m), retry(15*time.Second)))
				l.Pass(40 * m)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("consume"), From: 24 * m, To: 40 * m}},
		},
	},
}

var failing = alertlab.File{
	Name:    "TaskFailing",
	Comment: "Most attempts fail, whatever lies between the failures.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "nineteen of twenty attempts fail, for hours",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("sync", 15*time.Second, ends("FFFFFFFFFFFFFFFFFFFS"), retry(15*time.Second)))
				l.Pass(2 * h)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("sync"), From: 16*m + half, To: 2 * h,
				Summary:     "Most attempts of task sync fail",
				Description: "More attempts of sync of main on a:1 fail than succeed: 62 failed of late."}},
		},
		{
			Name: "four of five fail after a good hour, and then none",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("sync", m, plan(func(n int) (time.Duration, error) {
					if n > 60 && n <= 140 && n%5 > 0 {
						return 0, errWork
					}
					return 0, nil
				}), retry(m)))
				l.Pass(3 * h)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("sync"), From: 112 * m, To: 142 * m}},
		},
		{
			Name: "it succeeds for a while, and is interrupted as often, then it fails, and panics, for an hour",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("sync", m, interrupted(p, "sync",
					strings.Repeat("SC", 40)+strings.Repeat("FP", 30)+strings.Repeat("SCC", 60), 0), retry(m)))
				l.Pass(150 * m)
			},
			Want: []fires{
				{Alert: "TaskCrashLooping", Labels: task("sync"), From: 49*m + half, To: 100 * m},
				{Alert: "TaskNotSucceeding", Labels: task("sync"), From: 59*m + half, To: 100 * m},
				{Alert: "TaskPanicking", Labels: task("sync", "result", "panic"), From: 41*m + half, To: 108*m + half},
				{Alert: "TaskFailing", Labels: task("sync"), From: 85 * m, To: 104*m + half},
			},
		},
		{
			Name: "hourly, well for half a day, though interrupted, then four of five fail for ten hours", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("hourly", h, interrupted(p, "hourly",
					strings.Repeat("CCCS", 12)+strings.Repeat("FFFFS", 10)+strings.Repeat("CCCS", 12), 0), retry(m)))
				l.Pass(26 * h)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("hourly"), From: 13*h + 20*m + half, To: 23*h + 36*m + half}},
		},
		{
			Name: "hourly, and each time four of five fail", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("hourly", h, ends("FFFFS"), retry(m)))
				l.Pass(8 * h)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("hourly"), From: 6*h + 15*m + half, To: 8 * h}},
		},
		{
			Name: "five failures in six hours, and none in two", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("seldom", 172*m, ends("FFFSFFS"), retry(m)))
				l.Pass(12 * h)
			},
			Want: []fires{{Alert: "TaskFailing", Labels: task("seldom"), From: 6*h + 15*m + half, To: 12 * h, Rest: 278}},
		},
		{
			Name: "four failures in six hours", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("seldom", 172*m, ends("FFS"), retry(m)))
				l.Pass(12 * h)
			},
		},
		{
			Name: "hourly, after a slow start", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("hourly", h, plan(func(n int) (time.Duration, error) {
					if n < 10 {
						return 0, errWork
					}
					return 0, nil
				}), retry(20*time.Second)))
				l.Pass(8 * h)
			},
		},
	},
}
