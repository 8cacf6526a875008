package suture_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Whatever a service returns, it is called again; what it said stands in the event.
func TestEveryReturnRestarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, "a:<nil>:1.00:true"},
		{"an error", errBroken, "a:broken:1.00:true"},
		{"the end of another context", context.Canceled, "a:context canceled:1.00:true"},
		{"a deadline of its own", context.DeadlineExceeded, "a:context deadline exceeded:1.00:true"},
		{"a panic", panics{"boom"}, "a:panic boom:1.00:true"},
		{"a panic with an error", panics{errBroken}, "a:panic broken:1.00:true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, a := &journal{}, newService("a")
				sup := suture.New("top", suture.Spec{EventHook: j.hook})
				sup.Add(a)
				err := serve(t, sup, func() { a.send(tt.err) })
				if err != context.Canceled {
					t.Errorf("Serve returned %v", err)
				}
				wantCalls(t, a, 2)
				wantJournal(t, j, tt.want)
			})
		})
	}
}

func TestGoexitRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, calls := &journal{}, 0
		sup := suture.New("top", suture.Spec{EventHook: j.hook})
		sup.Add(serviceFunc(func(ctx context.Context) error {
			if calls++; calls == 1 {
				new(testing.T).FailNow() // which is runtime.Goexit
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		_ = serve(t, sup, func() { time.Sleep(time.Second) })
		if calls != 2 {
			t.Errorf("called %d times", calls)
		}
	})
}

type serviceFunc func(ctx context.Context) error

func (f serviceFunc) Serve(ctx context.Context) error { return f(ctx) }

func TestDoNotRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a, b := &journal{}, newService("a"), newService("b")
		sup := suture.New("top", suture.Spec{EventHook: j.hook})
		token := sup.Add(a)
		sup.Add(b)
		_ = serve(t, sup, func() {
			a.send(fmt.Errorf("done: %w", suture.ErrDoNotRestart))
			if got := sup.Services(); len(got) != 1 || got[0] != suture.Service(b) {
				t.Errorf("services %v", got)
			}
			if err := sup.RemoveAndWait(token, 0); err != nil {
				t.Errorf("removing what is gone: %v", err)
			}
		})
		wantCalls(t, a, 1)
		wantCalls(t, b, 1)
		wantJournal(t, j, "")
	})
}

// ErrTerminateSupervisorTree ends everything up to the root, or to a supervisor that
// does not propagate it, which its parent does not restart.
func TestTerminateTree(t *testing.T) {
	for _, dont := range []bool{false, true} {
		t.Run(fmt.Sprintf("DontPropagateTermination=%v", dont), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, a, b := &journal{}, newService("a"), newService("b")
				top := suture.New("top", suture.Spec{EventHook: j.hook})
				sub := suture.New("sub", suture.Spec{DontPropagateTermination: dont})
				top.Add(a)
				top.Add(sub)
				sub.Add(b)
				said := fmt.Errorf("no disk: %w", suture.ErrTerminateSupervisorTree)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				end := top.ServeBackground(ctx)
				synctest.Wait()
				b.send(said)
				select {
				case err := <-end:
					if dont || err != said {
						t.Errorf("the root ended with %v", err)
					}
				default:
					if !dont {
						t.Error("the root goes on")
					}
					if got := top.Services(); len(got) != 1 || got[0] != suture.Service(a) {
						t.Errorf("services %v", got)
					}
					cancel()
					if err := <-end; err != context.Canceled {
						t.Errorf("the root ended with %v", err)
					}
				}
				wantCalls(t, a, 1)
				wantCalls(t, b, 1)
				wantJournal(t, j, "")
			})
		})
	}
}

func TestServeOfNilContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		sup := suture.NewSimple("top")
		sup.Add(a)
		end := sup.ServeBackground(nil) //nolint:staticcheck // suture takes a nil context
		<-a.calls
		a.end <- suture.ErrTerminateSupervisorTree
		if err := <-end; !errors.Is(err, suture.ErrTerminateSupervisorTree) {
			t.Error(err)
		}
	})
}

func TestServeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup := suture.NewSimple("top")
		if err := serve(t, sup, func() { wantPanic(t, "already", func() { _ = sup.Serve(t.Context()) }) }); err != context.Canceled {
			t.Error(err)
		}
		err := sup.Serve(t.Context())
		if !errors.Is(err, suture.ErrDoNotRestart) || !errors.Is(err, suture.ErrSupervisorNotRunning) {
			t.Errorf("a second Serve returned %v", err)
		}
	})
}

func TestServeWithAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now())
		defer cancel()
		a := newService("a")
		sup := suture.NewSimple("top")
		sup.Add(a)
		if err := sup.Serve(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		wantCalls(t, a, 0)
		if report, err := sup.UnstoppedServiceReport(); report != nil || err != nil {
			t.Errorf("report %v, %v", report, err)
		}
	})
}

func TestMisuse(t *testing.T) {
	wantPanic(t, "nil *suture.Supervisor", func() { _ = (*suture.Supervisor)(nil).Serve(t.Context()) })
	wantPanic(t, "not made by New", func() { _ = new(suture.Supervisor).Serve(t.Context()) })
	wantPanic(t, "not made by New", func() { (*suture.Supervisor)(nil).Add(newService("a")) })
	wantPanic(t, "not made by New", func() { new(suture.Supervisor).Add(newService("a")) })
	if err := suture.New("top", suture.Spec{Timeout: -1}).Serve(t.Context()); !errors.Is(err, suture.ErrDoNotRestart) {
		t.Errorf("a negative Timeout: %v", err)
	}
}

func wantPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), text) {
			t.Errorf("panic %v, want one with %q", v, text)
		}
	}()
	f()
}

// A service has the values of Serve's context, and is part of an attempt.
func TestServiceContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		a := newService("a")
		sup := suture.NewSimple("top")
		sup.Add(a)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		end := sup.ServeBackground(ctx)
		got := <-a.calls
		if got.Value(key{}) != "value" {
			t.Error("the value is lost")
		}
		if at, ok := taskvisor.FromContext(got); !ok || at.Task != "a" || at.Supervisor != "top" {
			t.Errorf("attempt %+v", at)
		}
		cancel()
		<-end
		if got.Err() != context.Canceled {
			t.Error(got.Err())
		}
	})
}

// A service that knows taskvisor may use its marks.
func TestMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a, b := &journal{}, newService("a"), newService("b")
		sup := suture.New("top", suture.Spec{EventHook: j.hook})
		sup.Add(a)
		sup.Add(b)
		_ = serve(t, sup, func() {
			a.send(taskvisor.RetryAfter(time.Minute, errBroken))
			b.send(taskvisor.Fatal(errBroken))
			wantCalls(t, a, 1)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantCalls(t, a, 2)
			if got := sup.Services(); len(got) != 1 {
				t.Errorf("services %v", got)
			}
		})
		wantCalls(t, b, 1)
	})
}

type oldStyle struct {
	stop  chan struct{}
	calls int
	ended bool
}

func (o *oldStyle) Serve() {
	o.calls++
	if o.calls > 1 {
		<-o.stop
	}
}

func (o *oldStyle) Stop() {
	close(o.stop)
	time.Sleep(time.Second)
	o.ended = true
}

// A service of old is restarted, and stopped by its Stop, which is waited for.
func TestAsService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := &oldStyle{stop: make(chan struct{})}
		sup := suture.New("top", suture.Spec{EventHook: (&journal{}).hook})
		sup.Add(suture.AsService(old))
		_ = serve(t, sup, func() { time.Sleep(time.Second) })
		if old.calls != 2 || !old.ended {
			t.Errorf("%d calls, Stop waited for: %v", old.calls, old.ended)
		}
	})
}
