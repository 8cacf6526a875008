package alertlab_test

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// burning is a task with an objective of 99 %, on two replicas, that fails once in so many
// attempts during the time from one hour to another. Now and then one is interrupted,
// which says nothing about it.
func burning(name string, in int, from, to, length time.Duration, want ...fires) alertlab.Scenario {
	return alertlab.Scenario{
		Name: name, Want: want, Long: length > 12*h,
		Run: func(l *lab) {
			l.Objective("app", "sync", 0.99)
			l.Objective("app", "other", 0.5)
			l.Objective("other", "sync", 0.5)
			for _, instance := range []string{"a:1", "b:1"} {
				p := l.Start(instance)
				begun, n, judged := time.Now(), 0, 0
				interrupted := interrupted(p, "sync", "C", 0)
				p.Add(taskvisor.Periodic("sync", m, func(ctx context.Context) error {
					if n++; n%4 == 0 {
						return interrupted(ctx)
					}
					since := time.Since(begun)
					if judged++; since > from && since < to && judged%in == 0 {
						return errWork
					}
					return nil
				}, retry(m)))
			}
			l.Pass(length)
		},
	}
}

func service(more ...string) labels {
	l := task("sync", "instance", "")
	for _, name := range more {
		l[name] = ""
	}
	return l
}

var burnsFast = alertlab.File{
	Name:      "TaskBudgetBurnsFast",
	Comment:   "A task fails more than its objective allows, and much.",
	Objective: true,
	Every:     2 * m,
	Scenarios: []alertlab.Scenario{
		burning("one in five fails, for two hours", 5, 6*h, 8*h, 10*h,
			fires{Alert: "TaskBudgetBurnsFast", Labels: service("pod"), From: 6*h + 46*m, To: 8*h + 22*m, Rest: 6,
				Summary:     "Task sync burns its error budget fast",
				Description: "15.08% of the attempts of sync of main in app failed of late, on all instances together, which its objective does not allow for long."},
			fires{Alert: "TaskBudgetBurnsSlowly", Labels: service("pod"), From: 6*h + 20*m, To: 10 * h}),
		burning("one in eight fails, for four hours", 8, 6*h, 10*h, 12*h,
			fires{Alert: "TaskBudgetBurnsFast", Labels: service("pod"), From: 8*h + 56*m, To: 10*h + 18*m},
			fires{Alert: "TaskBudgetBurnsSlowly", Labels: service("pod"), From: 6*h + 32*m, To: 12 * h}),
		burning("one in twenty fails, for three hours", 20, 6*h, 9*h, 12*h,
			fires{Alert: "TaskBudgetBurnsSlowly", Labels: service("pod"), From: 7*h + 40*m, To: 12 * h,
				Summary:     "Task sync burns its error budget",
				Description: "1.089% of the attempts of sync of main in app failed of late, on all instances together, which its objective does not allow for long."}),
	},
}

var burnsSlowly = alertlab.File{
	Name:      "TaskBudgetBurnsSlowly",
	Comment:   "A task fails more than its objective allows, for days.",
	Objective: true,
	Every:     30 * m,
	Scenarios: []alertlab.Scenario{
		burning("one in twenty-five fails, for a day", 25, 72*h, 96*h, 100*h,
			fires{Alert: "TaskBudgetBurnsSlowly", Labels: service("pod"), From: 90 * h, To: 100 * h}),
		burning("one in fifty fails, for two days", 50, 72*h, 120*h, 126*h,
			fires{Alert: "TaskBudgetBurnsSlowly", Labels: service("pod"), From: 108*h + 30*m, To: 122*h + 30*m}),
		burning("one in a hundred and twenty fails, for days", 120, 24*h, 96*h, 96*h),
	},
}
