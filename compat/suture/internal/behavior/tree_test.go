package suture_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// app is a service that embeds a supervisor.
type app struct{ *suture.Supervisor }

// empty has no supervisor, although it could.
type empty struct{ *service }

func (empty) GetSupervisor() *suture.Supervisor { return nil }

// A supervisor inside another has its hook, stops with it, and hangs by its own name.
func TestNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, mine, a, b := &journal{}, &journal{}, newService("a"), newService("b")
		top := suture.New("top", suture.Spec{EventHook: j.hook})
		sub := suture.New("sub", suture.Spec{EventHook: mine.hook})
		top.Add(app{sub})
		top.Add(empty{b})
		sub.Add(a)
		_ = serve(t, top, func() {
			if at, _ := taskvisor.FromContext(<-a.calls); at.Supervisor != "top/sub" || at.Task != "a" {
				t.Errorf("the attempt is of %q in %q", at.Task, at.Supervisor)
			}
			a.send(errBroken)
		})
		wantCalls(t, b, 1)
		wantJournal(t, j, "a:broken:1.00:true")
		wantJournal(t, mine, "")
		if got := j.all()[0].(suture.EventServiceTerminate); got.Supervisor != sub || got.SupervisorName != "sub" {
			t.Errorf("event of %v", got.Supervisor)
		}
	})
}

func TestRemoveNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		top, sub := suture.NewSimple("top"), suture.NewSimple("sub")
		sub.Add(a)
		_ = serve(t, top, func() {
			token := top.Add(sub)
			ctx := <-a.calls
			if err := top.RemoveAndWait(token, time.Second); err != nil {
				t.Error(err)
			}
			if ctx.Err() == nil {
				t.Error("a runs")
			}
			if report, _ := sub.UnstoppedServiceReport(); report != nil {
				t.Errorf("report %v", report)
			}
		})
	})
}

// What hangs is told and reported where it is, with the path to it, although the
// Timeouts of all supervisors are the same.
func TestReportOfTheTree(t *testing.T) {
	for levels := 1; levels <= 4; levels++ {
		t.Run(fmt.Sprint(levels), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, a, b := &journal{}, newService("a"), newService("b")
				a.hangs = true
				var path []*suture.Supervisor
				for i := range levels {
					s := suture.New(fmt.Sprint("level", i+1), suture.Spec{EventHook: j.hook, Timeout: 16 * time.Second})
					if i > 0 {
						path[i-1].Add(s)
					}
					s.Add(newService("idle"))
					path = append(path, s)
				}
				last := path[levels-1]
				token := last.Add(a)
				last.Add(b)
				var stopped time.Time
				_ = serve(t, path[0], func() { stopped = time.Now() })
				if d := time.Since(stopped); d > 16*time.Second || d < 12*time.Second {
					t.Errorf("it took %v", d)
				}
				wantJournal(t, j, fmt.Sprintf("level%d/a:hangs", levels))
				report, err := path[0].UnstoppedServiceReport()
				if err != nil || len(report) != 1 {
					t.Fatalf("report %+v, %v", report, err)
				}
				got := report[0]
				if got.Service != suture.Service(a) || got.Name != "a" || got.ServiceToken != token || fmt.Sprint(got.SupervisorPath) != fmt.Sprint(path) {
					t.Errorf("report %+v", got)
				}
				a.end <- nil
				synctest.Wait()
				if report, _ := path[0].UnstoppedServiceReport(); report != nil {
					t.Errorf("report %+v of what has returned", report)
				}
			})
		})
	}
}
