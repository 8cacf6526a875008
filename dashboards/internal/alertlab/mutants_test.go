package alertlab_test

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

func record(t *testing.T) (all []rules.Rule, made []alertlab.Recording) {
	t.Helper()
	all, err := rules.Load(filepath.Join(root, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	if recorded == nil {
		for _, f := range files {
			recorded = append(recorded, f.Record(t, all)...)
		}
	}
	return all, recorded
}

// recorded are the runs, which all tests read: to make them is most of the work.
var recorded []alertlab.Recording

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{MaxSamples: 5e7, Timeout: time.Minute})
}

// Every condition and every number of every alert is there for a reason: whoever changes
// one makes an alert come at another time, or for something else, in one of the runs.
func TestMutantsOfTheAlertsAreNoticed(t *testing.T) {
	all, made := record(t)
	type job struct {
		alert  string
		mutant alertlab.Mutant
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	var mu sync.Mutex // guards the fields below
	killed, excused, survived := 0, map[string]bool{}, 0
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			engine := newEngine()
			for j := range jobs {
				noticed := notice(engine, j.mutant.Rule, all, made)
				mu.Lock()
				key := j.alert + ": " + j.mutant.What
				switch {
				case noticed && excuses[key] != "":
					t.Errorf("%s is noticed, and need not be excused", key)
				case noticed:
					killed++
				case excuses[key] != "":
					excused[key] = true
				default:
					survived++
					t.Errorf("nobody notices %s", key)
				}
				mu.Unlock()
			}
		})
	}
	for _, a := range rules.Alerts(all) {
		mutants, err := alertlab.Mutants(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mutants {
			jobs <- job{a.Alert, m}
		}
	}
	close(jobs)
	workers.Wait()
	for key := range excuses {
		if !excused[key] {
			t.Errorf("no mutant is %s", key)
		}
	}
	t.Logf("%d mutants: %d noticed, %d excused, %d not noticed", killed+len(excused)+survived, killed, len(excused), survived)
}

// So with what the objectives' alerts are recorded from: a changed window is noticed.
func TestMutantsOfTheRecordingsAreNoticed(t *testing.T) {
	all, made := record(t)
	engine := newEngine()
	n := 0
	for i, r := range all {
		if !strings.Contains(r.Record, "taskvisor_task_attempts_failed:") {
			continue
		}
		mutants, err := alertlab.Mutants(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mutants {
			if strings.HasPrefix(m.What, "for ") {
				continue
			}
			n++
			changed := slices.Clone(all)
			changed[i] = m.Rule
			noticed := false
			for _, a := range rules.Alerts(all) {
				noticed = noticed || strings.Contains(a.Expr, r.Record) && notice(engine, a, changed, made)
			}
			if !noticed && !strings.Contains(m.What, denominator) {
				t.Errorf("nobody notices %s: %s", r.Record, m.What)
			}
		}
	}
	if n < 40 {
		t.Errorf("%d mutants, want those of five recordings", n)
	}
}

// denominator is in the names of mutants that need no notice: there are about as many
// attempts in each stretch of time, so that their rate does not depend on how long one
// looks, and which are left out is noticed in the longer windows.
const denominator = `taskvisor_task_attempts_total{result!="canceled"}`

// notice reports whether a rule is wrong in one of the runs.
func notice(engine *promql.Engine, r rules.Rule, all []rules.Rule, made []alertlab.Recording) bool {
	for i := range made {
		if made[i].Feeds(r.Expr, all) && made[i].Judge(engine, r, all) != "" {
			return true
		}
	}
	return false
}

// The engine here and promtool agree about the rules as they are.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	all, made := record(t)
	engine := newEngine()
	for _, a := range rules.Alerts(all) {
		fires := 0
		for i := range made {
			if !made[i].Feeds(a.Expr, all) {
				continue
			}
			if wrong := made[i].Judge(engine, a, all); wrong != "" {
				t.Errorf("%s, %s: %s", a.Alert, made[i].Name, wrong)
			}
			for _, w := range made[i].Want {
				if "Taskvisor"+w.Alert == a.Alert {
					fires++
				}
			}
		}
		if fires < 2 {
			t.Errorf("%s fires in %d runs", a.Alert, fires)
		}
	}
}

// excuses are the mutants that no run can notice, and why.
var excuses = map[string]string{
	`TaskvisorTaskFailing: > for >= in sum without (result) (increase(taskvisor_task_attempts_total{result!~"success|canceled"}[6… (29)`: whole,
	`TaskvisorTaskSlow: > for >= in increase(taskvisor_task_attempts_total{result="success"}[30m]) >= 3 (14)`:                            whole,
	`TaskvisorTaskGaveUp: twice the range in taskvisor_supervisor_start_timestamp_seconds[15m] (21)`:                                     young,
	`TaskvisorTaskPanicking: twice the range in taskvisor_supervisor_start_timestamp_seconds[10m] (23)`:                                  young,
	`TaskvisorTaskNotSucceeding: half the range in taskvisor_gate_waiting{gate=~"lease.*"}[10m] (27)`:                                    standby,
	`TaskvisorTaskNotSucceeding: twice the range in taskvisor_gate_waiting{gate=~"lease.*"}[10m] (27)`:                                   standby,

	"TaskvisorTaskBudgetBurnsFast: 11.520000000000001 for 14.4 in 14.4 (14)": shorter,
	"TaskvisorTaskBudgetBurnsFast: 17.28 for 14.4 in 14.4 (14)":              shorter,
	"TaskvisorTaskBudgetBurnsFast: 5 for 6 in 6 (32)":                        shorter,
	"TaskvisorTaskBudgetBurnsFast: 7 for 6 in 6 (32)":                        shorter,
}

const (
	whole   = "increase() extrapolates, and is hardly ever a whole number"
	young   = "a process that is younger than the window was seen within the window"
	shorter = "the shorter window is there to end the alert, and the failures of these runs end from one attempt to the next"
	standby = "a standby waits for its lease for as long as it is one"
)
