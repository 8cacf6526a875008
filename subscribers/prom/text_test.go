package promsub_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A function for labels that does not return for some tasks costs these their own series,
// and nothing else: a scrape comes to its end, and so does the next.
func TestTaskLabelThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panics": func() { panic("no label") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			label := promsub.WithTaskLabel(func(task string) string {
				if task[0] == 'x' {
					leave()
				}
				return "of " + task
			})
			bubble(t, []promsub.Option{label}, func(r *rig, sup *taskvisor.Supervisor) {
				tasks := []taskvisor.TaskSpec{idle("a"), every("x1", time.Hour), every("x2", time.Hour), idle("b"), taskvisor.Once("x3",
					taskvisortest.Script(taskvisortest.Ignore(time.Minute)), taskvisor.WithGrace(time.Second), taskvisor.WithReleaseOnAbandon())}
				for _, spec := range tasks {
					go func() { _, _ = sup.Add(t.Context(), spec) }() // it may end within
					synctest.Wait()
				}
				h, _ := sup.Lookup("x3")
				h.Stop()
				for range 2 {
					later(time.Minute)
					r.want(map[string]float64{
						"task_state{state=running,task=of a}":             1,
						"task_state{state=running,task=of b}":             1,
						"task_state{state=waiting,task=_other}":           2,
						"task_attempts_total{result=success,task=_other}": 3, // one of a body that came back late
						"metrics_overflow_tasks{}":                        2,
						"subscriber_panics_total{subscriber=metrics}":     3, // when they were added
					})
				}
			})
		})
	}
}
