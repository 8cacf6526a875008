package alertlab_test

import (
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// lives is a process that is started anew so many times, after the given time each, at one
// address, and then goes on.
func lives(l *lab, restarts int, each time.Duration) {
	for range restarts + 1 {
		p := l.Start("a:1")
		p.Add(taskvisor.Restartable("consume", hang))
		l.Pass(each)
		if restarts--; restarts < 0 {
			return
		}
		p.Kill()
	}
}

var restarting = alertlab.File{
	Name:    "ProcessRestarting",
	Comment: "A process crashes again and again, which none of its tasks can tell.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "three crashes within ten minutes",
			Run: func(l *lab) {
				lives(l, 3, 3*m)
				l.Pass(28 * m)
			},
			Want: []fires{{Alert: "ProcessRestarting", From: 9*m + half, To: 32*m + half,
				Summary:     "The process of main is restarted again and again",
				Description: "main on a:1 was started anew 3 times within half an hour: its process ends, and all of its tasks with it."}},
		},
		{
			Name: "a platform that waits for five minutes between the attempts",
			Run: func(l *lab) {
				for range 5 {
					p := l.Start("a:1")
					l.Pass(m)
					p.Kill()
					l.Pass(5 * m)
				}
			},
			Want: []fires{{Alert: "ProcessRestarting", From: 18*m + half, To: 30 * m}},
		},
		{
			Name: "a deploy, and back again",
			Run: func(l *lab) {
				lives(l, 2, 3*m)
				l.Pass(25 * m)
			},
		},
		{
			Name: "three deploys in an hour",
			Run:  func(l *lab) { lives(l, 3, 15*m) },
		},
	},
}
