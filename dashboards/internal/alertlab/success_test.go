package alertlab_test

import (
	"strconv"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var notSucceeding = alertlab.File{
	Name:    "TaskNotSucceeding",
	Comment: "No success for a quarter of an hour, or never one.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a task that used to succeed fails, on one of two replicas",
			Run: func(l *lab) {
				ends := plan(func(n int) (time.Duration, error) {
					if n > 10 {
						return 0, errWork
					}
					return 0, nil
				})
				l.Start("a:1").Add(taskvisor.Periodic("probe", m, ends, retry(m)))
				l.Start("b:1").Add(taskvisor.Periodic("probe", m, work(0), retry(m)))
				l.Pass(40 * m)
			},
			Want: []fires{
				{Alert: "TaskCrashLooping", Labels: task("probe"), From: 19*m + half, To: 40 * m},
				{Alert: "TaskNotSucceeding", Labels: task("probe"), From: 29*m + half, To: 40 * m,
					Summary:     "Task probe has not succeeded for 20m 18s",
					Description: "probe of main on a:1 has not succeeded for 20m 18s: it fails, hangs, or is not let in."},
				{Alert: "TaskFailing", Labels: task("probe"), From: 34*m + half, To: 40 * m},
			},
		},
		{
			Name: "one failure, and a long time until the next attempt",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("hourly", h, ends("SFS"), retry(40*m)))
				l.Pass(3 * h)
			},
		},
		{
			Name: "hourly, fails each time since it was added",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("hourly", h, ends("F"), retry(h)))
				l.Pass(4 * h)
			},
			Want: []fires{{Alert: "TaskNotSucceeding", Labels: task("hourly"), From: h + 15*m, To: 4 * h}},
		},
		{
			Name: "an old worker begins to fail",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Restartable("consume", plan(func(n int) (time.Duration, error) {
					if n == 1 {
						return h, errWork
					}
					return 0, errWork
				}), retry(m)))
				l.Pass(80 * m)
			},
			Want: []fires{
				{Alert: "TaskCrashLooping", Labels: task("consume"), From: 69*m + half, To: 80 * m},
				{Alert: "TaskNotSucceeding", Labels: task("consume"), From: 76 * m, To: 80 * m},
				{Alert: "TaskFailing", Labels: task("consume"), From: 79*m + half, To: 80 * m},
			},
		},
		{
			Name: "pending since the start, behind a worker that holds the only permit",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithMaxConcurrent(1))
				p.Add(taskvisor.Restartable("consume", hang))
				l.Pass(time.Second)
				p.Add(taskvisor.Periodic("probe", m, work(0)))
				l.Pass(40 * m)
			},
			Want: []fires{
				{Alert: "TaskNotSucceeding", Labels: task("probe"), From: 20*m + half, To: 40 * m},
				{Alert: "GateSaturated", Labels: labels{"gate": "max_concurrent"}, From: 30*m + half, To: 40 * m},
			},
		},
		{
			Name: "hourly, and then the limit is taken, while a lease is held",
			Run: func(l *lab) {
				p := l.Start("a:1")
				limit, held := taskvisor.WithGate(taskvisor.NewLimit("database", 1)), &slowGate{name: "lease report", waits: func(int) time.Duration { return 5 * time.Second }}
				p.Add(taskvisor.Periodic("report", m, work(0), taskvisor.WithGate(held)))
				p.Add(taskvisor.Periodic("hourly", h, work(0), limit))
				l.Pass(50 * m)
				p.Add(taskvisor.Once("long", work(2*h), limit))
				l.Pass(40 * m)
			},
			Want: []fires{
				{Alert: "TaskNotSucceeding", Labels: task("hourly"), From: 75 * m, To: 90 * m},
				{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 75*m + half, To: 90 * m},
			},
		},
		{
			Name: "a task that used to succeed hangs, and then goes on",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("probe", m, plan(func(n int) (time.Duration, error) {
					if n == 10 {
						return 30 * m, nil
					}
					return 5 * time.Second, nil
				})))
				l.Pass(50 * m)
			},
			Want: []fires{{Alert: "TaskNotSucceeding", Labels: task("probe"), From: 30 * m, To: 39*m + half}},
		},
		longAttempts(false), longAttempts(true),
		{
			Name: "the first attempt of a periodic task hangs",
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("often", time.Second, hang), taskvisor.Periodic("seldom", 10*m, hang))
				l.Pass(50 * m)
			},
			Want: []fires{
				{Alert: "TaskNotSucceeding", Labels: task("often"), From: 20*m + half, To: 50 * m},
				{Alert: "TaskNotSucceeding", Labels: task("seldom"), From: 35*m + half, To: 50 * m},
			},
		},
		{
			Name: "attempts that take longer than the interval", Long: true,
			Run: func(l *lab) {
				p := l.Start("a:1")
				p.Add(taskvisor.Periodic("crawl", 10*m, plan(func(n int) (time.Duration, error) { return time.Duration(10+10*n) * m, nil })))
				l.Pass(6 * h)
			},
		},
		{
			Name: "tasks of one kind, of which some are always pending, but none for long",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithMaxConcurrent(1))
				for i := range 240 {
					if i > 2 {
						l.Pass(15 * time.Second)
					}
					p.Add(taskvisor.Once("job "+strconv.Itoa(i), work(15*time.Second), taskvisor.WithKind("job")))
				}
			},
		},
	},
}

// longAttempts is a task whose attempts take three minutes and then one that hangs: ten
// times as long.
func longAttempts(native bool) alertlab.Scenario {
	name := "a task whose attempts take minutes hangs"
	if native {
		name += ", native histograms"
	}
	return alertlab.Scenario{
		Name: name, Native: native,
		Run: func(l *lab) {
			p := l.Start("a:1")
			p.Add(taskvisor.Periodic("crawl", m, plan(func(n int) (time.Duration, error) {
				switch {
				case n <= 4:
					return m, errWork
				case n > 9:
					return 10 * h, nil
				}
				return 3 * m, nil
			}), retry(time.Second)))
			l.Pass(70 * m)
		},
		Want: []fires{{Alert: "TaskNotSucceeding", Labels: task("crawl"), From: 59*m + half, To: 70 * m}},
	}
}

var slow = alertlab.File{
	Name:    "TaskSlow",
	Comment: "A task takes ten times as long as before.",
	Every:   m,
	Scenarios: []alertlab.Scenario{
		slower("a task becomes a hundred times slower", false, time.Second, 100*time.Second,
			fires{Alert: "TaskSlow", Labels: task("sync"), From: 137 * m, To: 211 * m,
				Summary:     "Task sync has become slow",
				Description: "The attempts of sync of main on a:1 take 35.94s on average, more than ten times as long as before."}),
		slower("a task becomes a hundred times slower, native histograms", true, time.Second, 100*time.Second,
			fires{Alert: "TaskSlow", Labels: task("sync"), From: 137 * m, To: 211 * m}),
		slower("a task becomes eight times slower", false, 2*time.Second, 16*time.Second),
		slower("a task becomes much slower, and is quick still", false, 10*time.Millisecond, 900*time.Millisecond),
		slower("a task takes one second and a half instead of a tenth", false, 100*time.Millisecond, 1500*time.Millisecond,
			fires{Alert: "TaskSlow", Labels: task("sync"), From: 150 * m, To: 184 * m}),
		seldom("three long attempts in half an hour", 8*m+half, fires{Alert: "TaskSlow", Labels: task("sync"), From: 97 * m, To: 146 * m}),
		seldom("two long attempts in half an hour", 14*m),
	},
}

// seldom is a task with few attempts that take longer after the tenth.
func seldom(name string, interval time.Duration, want ...fires) alertlab.Scenario {
	return alertlab.Scenario{
		Name: name, Want: want,
		Run: func(l *lab) {
			p := l.Start("a:1")
			p.Add(taskvisor.Periodic("sync", interval, plan(func(n int) (time.Duration, error) {
				if n > 10 {
					return m, nil
				}
				return time.Second, nil
			})))
			l.Pass(4 * h)
		},
	}
}

// slower is a task that takes longer after two hours.
func slower(name string, native bool, before, after time.Duration, want ...fires) alertlab.Scenario {
	return alertlab.Scenario{
		Name: name, Native: native, Want: want,
		Run: func(l *lab) {
			p := l.Start("a:1")
			begun := time.Now()
			p.Add(taskvisor.Periodic("sync", m, plan(func(n int) (time.Duration, error) {
				switch {
				case n%4 == 0:
					return 30 * time.Second, errWork
				case time.Since(begun) > 2*h:
					return after, nil
				}
				return before, nil
			}), retry(time.Second)))
			l.Pass(4 * h)
		},
	}
}
