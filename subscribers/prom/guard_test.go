package promsub_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// every runs each period.
func every(name string, period time.Duration) taskvisor.TaskSpec {
	return taskvisor.Periodic(name, period, taskvisortest.Script(taskvisortest.Succeed()))
}

// failing is a task that only fails.
func failing(name string, delay time.Duration) taskvisor.TaskSpec {
	return taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.Fail(errWork)), taskvisor.ConstantBackoff(delay))
}

// owners are the labels that have series of their own.
func owners(r *rig) map[string]bool {
	all := make(map[string]bool)
	for name := range r.scrape() {
		if rest, ok := strings.CutPrefix(name, "taskvisor_task_attempts_total{result=success,task="); ok && rest != "_other}" {
			all[strings.TrimSuffix(rest, "}")] = true
		}
	}
	return all
}

func TestTasksBeyondTheLimitShareOneLabel(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(2), promsub.WithSeriesGrace(0)}, func(r *rig, sup *taskvisor.Supervisor) {
		var tasks []*taskvisor.Handle
		for i := range 5 {
			tasks = append(tasks, add(t, sup, every(fmt.Sprintf("t%d", i), time.Hour)))
		}
		synctest.Wait()
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=t0}":     1,
			"task_attempts_total{result=success,task=t1}":     1,
			"task_attempts_total{result=success,task=t2}":     -1,
			"task_attempts_total{result=success,task=_other}": 3,
			"task_state{state=waiting,task=t1}":               1,
			"task_state{state=waiting,task=_other}":           3,
			"metrics_overflow_tasks{}":                        3,
		})
		// Series that come free are given to one of those who have none. Its counters
		// begin at zero, and those of _other never go back.
		tasks[0].Stop()
		synctest.Wait()
		for range 4 {
			r.scrape()
		}
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=t0}":     -1,
			"task_attempts_total{result=success,task=t2}":     0,
			"task_attempts_total{result=success,task=_other}": 3,
			"metrics_overflow_tasks{}":                        2,
		})
		later(time.Hour)
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=t2}":     1,
			"task_attempts_total{result=success,task=_other}": 5,
		})
	})
}

// Where the next supervisor of a name may have more series, those that had none get some,
// although nobody has to give any up.
func TestALargerLimitIsUsed(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(1)}, func(r *rig, sup *taskvisor.Supervisor) {
		names := []string{"a", "b"}
		for _, name := range names {
			add(t, sup, every(name, time.Hour))
		}
		later(time.Second)
		if got := owners(r); !got["a"] || got["b"] {
			t.Fatalf("%v have series of their own", got)
		}
		_ = sup.Shutdown(context.Background())
		next, _ := taskvisortest.Start(r.t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(promsub.New(r.reg, promsub.WithMaxTasks(3))))
		for _, name := range names {
			add(t, next, every(name, time.Hour))
		}
		later(time.Second)
		if got := owners(r); !got["a"] || !got["b"] {
			t.Errorf("%v have series of their own", got)
		}
	})
}

func TestGuardGivesSeriesToTheFailingAndTheBusy(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(4)}, func(r *rig, sup *taskvisor.Supervisor) {
		for i := range 10 {
			add(t, sup, every(fmt.Sprintf("quiet %d", i), time.Hour))
		}
		add(t, sup, failing("fails", time.Minute))
		add(t, sup, every("busy", time.Second))
		synctest.Wait()
		if got := owners(r); got["fails"] || got["busy"] {
			t.Fatalf("%v have series before there was a scrape", got)
		}
		for range 60 { // 15 minutes
			later(15 * time.Second)
			r.scrape()
		}
		got := owners(r)
		if !got["fails"] || !got["busy"] || len(got) != 4 {
			t.Errorf("%v have series of their own", got)
		}
		// Once decided, it stays so.
		for range 60 {
			later(15 * time.Second)
			if again := owners(r); fmt.Sprint(again) != fmt.Sprint(got) {
				t.Fatalf("%v have series now, before it were %v", again, got)
			}
		}
	})
}

func TestGuardLetsNobodyGoBeforeItsTime(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(1)}, func(r *rig, sup *taskvisor.Supervisor) {
		add(t, sup, every("quiet", time.Hour))
		add(t, sup, failing("fails", 10*time.Second))
		later(time.Second)
		for range 7 {
			if got := owners(r); !got["quiet"] {
				t.Fatalf("%v have series after %s", got, sup.Snapshot().Time.Sub(sup.Snapshot().Created))
			}
			later(15 * time.Second)
		}
		later(15 * time.Second)
		r.scrape()
		if got := owners(r); !got["fails"] {
			t.Errorf("%v have series", got)
		}
	})
}

// What a task did last is scraped for two minutes at least, however long it had its series
// before, and however many would like to have them.
func TestGuardKeepsTheSeriesOfARemovedTask(t *testing.T) {
	for name, lived := range map[string]time.Duration{"that has just come": 0, "that was there for long": time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, []promsub.Option{promsub.WithMaxTasks(1)}, func(r *rig, sup *taskvisor.Supervisor) {
				add(t, sup, taskvisor.Once("import", taskvisortest.Script(taskvisortest.After(lived, taskvisortest.Fail(errWork)))))
				add(t, sup, every("busy", time.Second))
				add(t, sup, failing("fails", time.Second))
				later(lived + time.Second)
				for range 8 { // 106 s after the removal
					r.want(map[string]float64{"task_attempts_total{result=failure,task=import}": 1, "task_gave_up_total{outcome=failed,task=import}": 1})
					later(15 * time.Second)
				}
				if got := owners(r); !got["fails"] {
					t.Errorf("%v have series after two minutes", got)
				}
			})
		})
	}
}

// TestGuardLosesNoAttempt compares the sum of all series with what the supervisor says,
// while labels lose and get series; no counter may go back but by disappearing.
func TestGuardLosesNoAttempt(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(5)}, func(r *rig, sup *taskvisor.Supervisor) {
		for i := range 40 {
			add(t, sup, every(fmt.Sprintf("t%d", i), time.Duration(1+i*i)*time.Second))
		}
		moved, total, last := 0, 0.0, map[string]float64{}
		had := owners(r)
		for i := range 100 {
			later(13 * time.Second)
			if i == 50 { // the order of the busy changes
				for j := range 40 {
					add(t, sup, every(fmt.Sprintf("u%d", j), time.Duration(1+(40-j)*(40-j))*time.Second))
				}
			}
			now := map[string]float64{}
			for name, m := range r.scrape() {
				if !strings.HasPrefix(name, "taskvisor_task_attempts_total") {
					continue
				}
				now[name] = number(m)
				before, there := last[name]
				if there && now[name] < before {
					t.Fatalf("%s went from %v to %v", name, before, now[name])
				}
				if there {
					total += now[name] - before
				} else {
					total += now[name]
				}
			}
			last = now
			if has := owners(r); fmt.Sprint(has) != fmt.Sprint(had) {
				moved, had = moved+1, has
			}
		}
		ended := 0.0
		for _, s := range sup.Snapshot().Tasks {
			ended += float64(s.Results.Success)
		}
		if total != ended {
			t.Errorf("%v attempts in the metrics, the supervisor has %v", total, ended)
		}
		if moved < 3 {
			t.Errorf("series changed hands only %d times: this tests nothing", moved)
		}
	})
}

// What the shared label counted last stays for the grace as well.
func TestSharedSeriesStayForTheGrace(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(1)}, func(r *rig, sup *taskvisor.Supervisor) {
		add(t, sup, idle("a"))
		h := add(t, sup, idle("b"))
		later(time.Hour)
		r.scrape()
		h.Stop()
		for _, want := range []float64{1, 1, 1, 1, 1, -1} {
			synctest.Wait()
			r.want(map[string]float64{"task_attempts_total{result=canceled,task=_other}": want})
			later(time.Minute)
		}
	})
}

// Names of tasks that are gone cost nothing, if they had no series: nor where nobody scrapes.
func TestFinishedTasksBeyondTheLimitLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := promsub.New(nil, promsub.WithMaxTasks(10))
		sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		run := func(from, to int) {
			for i := from; i < to; i++ {
				_, _ = add(t, sup, taskvisor.Once(fmt.Sprintf("job-%d", i), taskvisortest.Script(taskvisortest.Succeed()))).Wait(t.Context())
			}
		}
		run(0, 1000)
		before := heap()
		run(1000, 11_000)
		// A name and its label are 245 bytes.
		if after := heap(); after > before+1<<20 {
			t.Errorf("the heap grew from %d to %d", before, after)
		}
		if err := sup.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(sub)
	})
}
