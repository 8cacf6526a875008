package suture_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
)

func TestAddBeforeWhileAndAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newService("a"), newService("b"), newService("c")
		sup := suture.NewSimple("top")
		first := sup.Add(a)
		if sup.Services() != nil {
			t.Error("services before Serve")
		}
		_ = serve(t, sup, func() {
			if second := sup.Add(b); second == first || second == (suture.ServiceToken{}) {
				t.Errorf("token %v after %v", second, first)
			}
			synctest.Wait()
			wantCalls(t, a, 1)
			wantCalls(t, b, 1)
			if got := sup.Services(); len(got) != 2 || got[0] != suture.Service(a) || got[1] != suture.Service(b) {
				t.Errorf("services %v", got)
			}
		})
		if sup.Services() != nil {
			t.Error("services after the end")
		}
		if token := sup.Add(c); token != (suture.ServiceToken{}) {
			t.Errorf("token %v after the end", token)
		}
		synctest.Wait()
		wantCalls(t, c, 0)
	})
}

// Services that start others, before the last of the first ones has been started.
func TestAddWhileItBeginsConcurrentSafe(t *testing.T) {
	for range 100 {
		sup := suture.NewSimple("top")
		started := make(chan struct{}, 40)
		for range 20 {
			sup.Add(serviceFunc(func(ctx context.Context) error {
				sup.Add(serviceFunc(func(ctx context.Context) error {
					started <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}))
				started <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}))
		}
		ctx, cancel := context.WithCancel(t.Context())
		go sup.Add(serviceFunc(func(context.Context) error { return suture.ErrDoNotRestart }))
		end := sup.ServeBackground(ctx)
		for range 40 {
			<-started
		}
		cancel()
		<-end
	}
}

func TestRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a, b := &journal{}, newService("a"), newService("b")
		sup := suture.New("top", suture.Spec{EventHook: j.hook})
		token := sup.Add(a)
		sup.Add(b)
		if err := sup.Remove(token); err != suture.ErrSupervisorNotStarted {
			t.Errorf("before Serve: %v", err)
		}
		if err := sup.RemoveAndWait(token, time.Second); err != suture.ErrSupervisorNotStarted {
			t.Errorf("before Serve: %v", err)
		}
		other := suture.NewSimple("other").Add(b)
		_ = serve(t, sup, func() {
			ctx := <-a.calls
			if err := sup.Remove(token); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if ctx.Err() == nil {
				t.Error("its context has not ended")
			}
			if err := sup.Remove(token); err != nil {
				t.Errorf("a second time: %v", err)
			}
			if err := sup.Remove(other); err != suture.ErrWrongSupervisor {
				t.Errorf("another's token: %v", err)
			}
			if err := sup.RemoveAndWait(other, 0); err != suture.ErrWrongSupervisor {
				t.Errorf("another's token: %v", err)
			}
			if err := sup.RemoveAndWait(suture.ServiceToken{}, 0); err != suture.ErrWrongSupervisor {
				t.Errorf("no token: %v", err)
			}
			time.Sleep(time.Minute)
			wantCalls(t, a, 0)
			if got := sup.Services(); len(got) != 1 || got[0] != suture.Service(b) {
				t.Errorf("services %v", got)
			}
		})
		if err := sup.Remove(token); err != nil {
			t.Errorf("after the end: %v", err)
		}
		if err := sup.RemoveAndWait(token, 0); err != suture.ErrSupervisorNotRunning {
			t.Errorf("after the end: %v", err)
		}
		wantJournal(t, j, "")
	})
}

// RemoveAndWait waits for the service itself, however long after the Timeout that is.
func TestRemoveAndWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a := &journal{}, newService("a")
		a.hangs = true
		sup := suture.New("top", suture.Spec{EventHook: j.hook, Timeout: time.Second})
		token := sup.Add(a)
		_ = serve(t, sup, func() {
			time.AfterFunc(time.Minute, func() { a.end <- nil })
			start := time.Now()
			if err := sup.RemoveAndWait(token, 0); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d != time.Minute {
				t.Errorf("waited %v", d)
			}
		})
		wantJournal(t, j, "top/a:hangs")
	})
}

func TestRemoveAndWaitTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		a.hangs = true
		sup := suture.New("top", suture.Spec{EventHook: func(suture.Event) {}, Timeout: 10 * time.Second})
		token := sup.Add(a)
		_ = serve(t, sup, func() {
			start := time.Now()
			if err := sup.RemoveAndWait(token, 2*time.Second); err != suture.ErrTimeout {
				t.Error(err)
			}
			if d := time.Since(start); d != 2*time.Second {
				t.Errorf("waited %v", d)
			}
		})
		a.end <- nil
	})
}

// The end of the supervisor ends a wait without a limit.
func TestRemoveAndWaitUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		a.hangs = true
		sup := suture.New("top", suture.Spec{EventHook: func(suture.Event) {}, Timeout: time.Second})
		token := sup.Add(a)
		got := make(chan error, 1)
		_ = serve(t, sup, func() { go func() { got <- sup.RemoveAndWait(token, 0) }() })
		if err := <-got; err != suture.ErrTimeout {
			t.Error(err)
		}
		a.end <- nil
	})
}

// A service that hangs does not keep its name from a successor.
func TestRemovedNameIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a, b := &journal{}, newService("a"), newService("a")
		a.hangs = true
		sup := suture.New("top", suture.Spec{EventHook: j.hook, Timeout: time.Second})
		token := sup.Add(a)
		_ = serve(t, sup, func() {
			_ = sup.Remove(token)
			sup.Add(b)
			synctest.Wait()
			wantCalls(t, b, 1)
			if got := sup.Services(); len(got) != 1 || got[0] != suture.Service(b) {
				t.Errorf("services %v", got)
			}
			b.send(errBroken)
			wantCalls(t, b, 2)
		})
		wantJournal(t, j, "a:broken:1.00:true top/a:hangs")
		report, err := sup.UnstoppedServiceReport()
		if err != nil || len(report) != 1 || report[0].Service != suture.Service(a) || report[0].ServiceToken != token {
			t.Errorf("report %+v, %v", report, err)
		}
		a.end <- nil
		synctest.Wait()
		if report, _ := sup.UnstoppedServiceReport(); report != nil {
			t.Errorf("report %+v of what has returned", report)
		}
	})
}

// What is exported and returned by nobody is there for programs that compare with it.
func TestErrorsAreDistinct(t *testing.T) {
	all := []error{
		suture.ErrDoNotRestart, suture.ErrTerminateSupervisorTree, suture.ErrWrongSupervisor, suture.ErrTimeout,
		suture.ErrSupervisorNotStarted, suture.ErrSupervisorNotRunning, suture.ErrSupervisorNotTerminated,
	}
	for i, a := range all {
		for k, b := range all {
			if errors.Is(a, b) != (i == k) {
				t.Errorf("errors.Is(%v, %v) is %v", a, b, i != k)
			}
		}
	}
}
