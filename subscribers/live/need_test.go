package livesub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// problems lists what needs somebody as "problem subject".
func problems(d document) []string {
	var list []string
	for _, n := range d.Needs {
		list = append(list, n.Problem+" "+n.Task+n.Slot+n.Subscriber)
	}
	return list
}

// TestNeedsSomebody: one supervisor for each kind of trouble, and when it is seen.
func TestNeedsSomebody(t *testing.T) {
	failing := taskvisor.ConstantBackoff(time.Second)
	slowAfter := func(n int, each time.Duration) taskvisor.Func { // succeeds n times, then hangs
		runs := 0
		return func(ctx context.Context) error {
			if runs++; runs > n {
				return block(ctx)
			}
			time.Sleep(each)
			return nil
		}
	}
	for _, c := range []struct {
		name string
		spec taskvisor.TaskSpec
		well time.Duration // nothing is wrong yet
		ill  time.Duration // after that it is
		want string
	}{
		{"failing", taskvisor.Restartable("t", fail, failing), 1500 * time.Millisecond, time.Second, "failing t"},
		{"gave up", taskvisor.Restartable("t", fail, failing, taskvisor.WithMaxRetries(1)), 500 * time.Millisecond, time.Second, "gave up t"},
		{"fatal", taskvisor.Once("t", func(context.Context) error {
			time.Sleep(time.Second)
			return taskvisor.Fatal(errBoom)
		}), 500 * time.Millisecond, time.Second, "gave up t"},
		{"stuck", taskvisor.Once("t", deaf(time.Minute), taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)),
			1500 * time.Millisecond, time.Second, "stuck t"},
		{"silent", taskvisor.Restartable("t", block, taskvisor.WithIdleTimeout(10*time.Second)), 4 * time.Second, 2 * time.Second, "stalled t"},
		{"unusual", taskvisor.Periodic("t", time.Second, slowAfter(5, time.Second)), 69 * time.Second, 2 * time.Second, "stalled t"},
		{"ten times as long", taskvisor.Periodic("t", time.Second, slowAfter(5, 20*time.Second)), 304 * time.Second, 2 * time.Second, "stalled t"},
		{"new and slow", taskvisor.Periodic("t", time.Second, slowAfter(4, time.Second)), time.Hour, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := livesub.New()
			started(t, page, func(sup *taskvisor.Supervisor) {
				add(t, sup, c.spec, taskvisor.Restartable("well", block), taskvisor.Periodic("periodic", time.Minute, succeed))
				later(c.well)
				if d := look(t, page, ""); d.Total != 0 {
					t.Fatalf("too early: %+v", d.Needs)
				}
				later(c.ill)
				if got := strings.Join(problems(look(t, page, "")), ", "); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
				if c.want != "" && !strings.Contains(get(t, page, "/x/"), "One thing needs somebody") {
					t.Error("the page does not say so")
				}
			})
		})
	}
}

// TestAbandonedNeedsSomebody and so does what the shutdown left behind.
func TestAbandonedNeedsSomebody(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		handles := add(t, sup, taskvisor.Once("t", deaf(time.Hour)))
		handles[0].Stop()
		later(2 * time.Second)
		d := look(t, page, "")
		if fmt.Sprint(problems(d)) != "[abandoned t]" || !strings.Contains(d.Needs[0].Text, " at rig_test.go:") {
			t.Errorf("%+v", d.Needs)
		}
		time.Sleep(2 * time.Hour)
	}, taskvisor.WithGrace(time.Second))
}

// TestGaveUpIsForgotten when a task of that name succeeds, or after an hour.
func TestGaveUpIsForgotten(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("a", fail), taskvisor.Once("b", fail))
		d := look(t, page, "")
		slices.SortFunc(d.Needs, func(a, b needed) int { return strings.Compare(a.Task, b.Task) })
		if fmt.Sprint(problems(d)) != "[gave up a gave up b]" || d.Needs[0].Error != "boom" {
			t.Errorf("%+v", d.Needs)
		}
		later(time.Second)
		add(t, sup, taskvisor.Periodic("a", time.Hour, succeed))
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[gave up b]" {
			t.Errorf("a has succeeded since: %v", problems(d))
		}
		later(time.Hour)
		if d := look(t, page, ""); d.Total != 0 {
			t.Errorf("after an hour: %v", problems(d))
		}
	})
}

// TestGaveUpIsForgottenForAResident that was added again and does not end: when it says
// that it is ready, or has run for so long that its streak would be over.
func TestGaveUpIsForgottenForAResident(t *testing.T) {
	ready := func(ctx context.Context) error {
		time.Sleep(3 * time.Second)
		taskvisor.Ready(ctx)
		return block(ctx)
	}
	second := taskvisor.ConstantBackoff(time.Second)
	for _, c := range []struct {
		again     taskvisor.TaskSpec
		ill, well time.Duration // well is 0 where it never is
	}{
		{taskvisor.Restartable("t", block, second), 59 * time.Second, 2 * time.Second},
		{taskvisor.Restartable("t", block, second, taskvisor.WithResetAfter(10*time.Second)), 9 * time.Second, 2 * time.Second},
		{taskvisor.Restartable("t", ready, second, taskvisor.WithReadiness()), 2 * time.Second, 2 * time.Second},
		{taskvisor.Restartable("t", block, second, taskvisor.WithTimeout(time.Hour)), 59 * time.Minute, 0},
		{taskvisor.Restartable("t", block, second, taskvisor.WithStartPaused()), 59 * time.Minute, 0},
	} {
		page := livesub.New()
		started(t, page, func(sup *taskvisor.Supervisor) {
			add(t, sup, taskvisor.Once("t", fail))
			add(t, sup, c.again)
			later(c.ill)
			if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[gave up t]" {
				t.Errorf("%s after %s: %v", c.again, c.ill, problems(d))
			}
			later(c.well)
			if d := look(t, page, ""); c.well > 0 && d.Total != 0 {
				t.Errorf("%s runs well: %v", c.again, problems(d))
			}
		})
	}
}

// TestGaveUpIsNotDrownedOut by thousands that ended well since, and one of its own
// name that did answers for it.
func TestGaveUpIsNotDrownedOut(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("import", fail), taskvisor.Once("export", fail))
		for i := range 500 {
			add(t, sup, taskvisor.Once(fmt.Sprint("job", i), succeed))
		}
		d := look(t, page, "")
		if d.Total != 2 || d.Needs[0].Error != "boom" {
			t.Errorf("%+v", d.Needs)
		}
		if d := look(t, page, "&task=import"); d.Task == nil || d.Task.Ended.Outcome != "failed" || len(d.Task.Attempts) != 1 {
			t.Errorf("%+v", d.Task)
		}
		later(time.Second)
		add(t, sup, taskvisor.Once("import", succeed))
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[gave up export]" {
			t.Errorf("%v", problems(d))
		}
		for i := range 500 {
			add(t, sup, taskvisor.Once(fmt.Sprint("bad", i), fail))
		}
		if d := look(t, page, ""); d.Total != 64 {
			t.Errorf("%d are kept", d.Total)
		}
	})
}

// TestSlotWaiting for more than a minute.
func TestSlotWaiting(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		for i := range 2 {
			if _, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("t", i), block), Slot: "tenant"}); err != nil {
				t.Fatal(err)
			}
		}
		later(59 * time.Second)
		if d := look(t, page, ""); d.Total != 0 || d.Supervisors[0].Slots[0].Owner_name != "t0" {
			t.Errorf("%+v", d)
		}
		later(2 * time.Second)
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[slot waiting tenant]" {
			t.Errorf("%v", problems(d))
		}
	})
}

// TestSubscriberNeedsSomebody while its losses are news.
func TestSubscriberNeedsSomebody(t *testing.T) {
	page := livesub.New()
	bad := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.TaskAdded {
			panic("no room")
		}
	})
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("t", succeed))
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[subscriber bad]" {
			t.Errorf("%v", problems(d))
		}
		later(11 * time.Minute)
		if d := look(t, page, ""); d.Total != 0 {
			t.Errorf("old news: %v", problems(d))
		}
		add(t, sup, taskvisor.Once("t", succeed))
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[subscriber bad]" {
			t.Errorf("one more: %v", problems(d))
		}
	}, taskvisor.WithSubscriber(bad, taskvisor.WithName("bad")))
}

// TestOverdue: a start that is long past means that the process gets no time.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := livesub.New()
		now := time.Now()
		_ = page.Attach(func() taskvisor.Snapshot {
			return taskvisor.Snapshot{Supervisor: "shop", Time: now, Tasks: []taskvisor.TaskStatus{
				{ID: 1, Name: "late", State: taskvisor.StateWaiting, NextStart: now.Add(-11 * time.Second)},
				{ID: 2, Name: "nearly", State: taskvisor.StateWaiting, NextStart: now.Add(-9 * time.Second)},
			}}
		})
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[stalled late]" {
			t.Errorf("%v", problems(d))
		}
	})
}

// TestTheWorstFirst: on the page and in the table.
func TestTheWorstFirst(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup,
			taskvisor.Restartable("well", block),
			taskvisor.Restartable("failing", fail, taskvisor.ConstantBackoff(100*time.Millisecond)),
			taskvisor.Once("gone", fail),
			taskvisor.Once("stuck", deaf(10*time.Second), taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)))
		later(3 * time.Second)
		d := look(t, page, "")
		if got := fmt.Sprint(problems(d)); got != "[stuck stuck gave up gone failing failing]" {
			t.Errorf("%s", got)
		}
		if d.Needs[2].Error != "boom" {
			t.Errorf("why does it fail: %+v", d.Needs[2])
		}
		if last := d.Supervisors[0].Tasks[2].Name; last != "well" {
			t.Errorf("%s is last in the table", last)
		}
		if d := look(t, page, "&state=needs"); d.Supervisors[0].Matching != 2 {
			t.Errorf("the filter finds %d", d.Supervisors[0].Matching)
		}
	})
}

// TestAThousandTroubles are counted, and fifty listed.
func TestAThousandTroubles(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		var specs []taskvisor.TaskSpec
		for i := range 1000 {
			specs = append(specs, taskvisor.Restartable(fmt.Sprint("t", i), fail, taskvisor.ConstantBackoff(time.Second)))
		}
		add(t, sup, specs...)
		later(5 * time.Second)
		d := look(t, page, "")
		if d.Total != 1000 || len(d.Needs) != 50 || len(d.Supervisors[0].Tasks) != 200 {
			t.Errorf("%d, %d listed, %d rows", d.Total, len(d.Needs), len(d.Supervisors[0].Tasks))
		}
		if got := get(t, page, "/x/"); !strings.Contains(got, "all 1000</a>") || !strings.Contains(got, "<title>(1000) shop</title>") {
			t.Error("the page does not say how many there are")
		}
	})
}

// TestRecoveredNeedsNobody: a streak that is over is no trouble.
func TestRecoveredNeedsNobody(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		runs := 0
		add(t, sup, taskvisor.Periodic("t", time.Minute, func(context.Context) error {
			if runs++; runs <= 4 {
				return errors.New("not yet")
			}
			return nil
		}, taskvisor.ConstantBackoff(time.Second)))
		later(3500 * time.Millisecond)
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[failing t]" || d.named(t, "t").Streak != 4 {
			t.Errorf("%+v", d)
		}
		later(time.Second)
		d := look(t, page, "")
		if d.Total != 0 || d.named(t, "t").LastError != "not yet" {
			t.Errorf("%+v", d)
		}
		if got := get(t, page, "/x/"); strings.Contains(got, `class="err now"`) {
			t.Error("an old error looks like a new one")
		}
	})
}

// TestResidentThatRecoveredNeedsNobody: its streak is over while its attempt runs.
func TestResidentThatRecoveredNeedsNobody(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		runs := 0
		add(t, sup, taskvisor.Restartable("t", func(ctx context.Context) error {
			if runs++; runs <= 4 {
				return errors.New("not yet")
			}
			<-ctx.Done()
			return nil
		}, taskvisor.ConstantBackoff(time.Second)))
		later(time.Minute)
		if d := look(t, page, ""); fmt.Sprint(problems(d)) != "[failing t]" {
			t.Errorf("%+v", d)
		}
		later(time.Minute)
		if d := look(t, page, ""); d.Total != 0 || d.named(t, "t").Streak != 0 {
			t.Errorf("%+v", d)
		}
	})
}
