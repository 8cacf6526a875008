package suture_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// watch is a subscriber that has events, and the state.
type watch struct {
	taskvisortest.Recorder
	snapshot func() taskvisor.Snapshot
	closed   int
	refuses  error
}

func (w *watch) Attach(snapshot func() taskvisor.Snapshot) error {
	w.snapshot = snapshot
	return w.refuses
}

func (w *watch) Close() { w.closed++ }

// observe has every supervisor of the test watched, and returns who watches, by name.
func observe(t *testing.T) map[string]*watch {
	seen := make(map[string]*watch)
	var mu sync.Mutex // f is called concurrently; tests look at rest
	suture.Observe(func(supervisor string) []taskvisor.Subscribe {
		mu.Lock()
		defer mu.Unlock()
		seen[supervisor] = &watch{}
		return []taskvisor.Subscribe{seen[supervisor]}
	})
	t.Cleanup(func() { suture.Observe(nil) })
	return seen
}

// A service that ignores its context becomes visible: while it is stuck, when it is
// given up, as state, with its stack, and when it is back at last.
func TestHungServiceIsVisible(t *testing.T) {
	seen := observe(t)
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		a.hangs = true
		sup := suture.New("hung", suture.Spec{EventHook: func(suture.Event) {}})
		token := sup.Add(a)
		_ = serve(t, sup, func() {
			_ = sup.Remove(token)
			time.Sleep(6 * time.Second)
			w := seen["hung"]
			st := w.snapshot().Tasks[0]
			if !st.Stuck || st.State != taskvisor.StateStopping || st.Name != "a" || !strings.Contains(st.Stack, "(*service).Serve") {
				t.Errorf("after 6 s: stuck %v, %v, stack %q", st.Stuck, st.State, st.Stack)
			}
			time.Sleep(6 * time.Second)
			if st := w.snapshot().Tasks[0]; st.State != taskvisor.StateAbandoned {
				t.Errorf("after 12 s: %v", st.State)
			}
			a.end <- nil
			synctest.Wait()
			if n := len(w.snapshot().Tasks); n != 0 {
				t.Errorf("%d tasks after it returned", n)
			}
		})
		if got, want := seen["hung"].Trace("a"), "A S Q K N ✓ R D"; got != want {
			t.Errorf("trace %q, want %q", got, want)
		}
	})
}

// The steps of a service are those of a task.
func TestServiceAsTask(t *testing.T) {
	for _, tt := range []struct {
		name string
		errs []error
		want string
	}{
		{"restarts", []error{errBroken, nil, panics{"boom"}}, "A S ✗ B S ✗ B S ✗ B S Q C D"},
		{"do not restart", []error{suture.ErrDoNotRestart}, "A S ✓ E D"},
		{"terminate", []error{suture.ErrTerminateSupervisorTree}, "A S ✗ X D"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := observe(t)
			synctest.Test(t, func(t *testing.T) {
				a := newService("a")
				sup := suture.New("top", suture.Spec{EventHook: func(suture.Event) {}})
				token := sup.Add(a)
				_ = serve(t, sup, func() {
					for _, err := range tt.errs {
						a.send(err)
					}
					_ = sup.RemoveAndWait(token, time.Second)
				})
				if got := seen["top"].Trace("a"); got != tt.want {
					t.Errorf("trace %q, want %q", got, tt.want)
				}
				if got := seen["top"].Events("a")[0]; got.TaskKind != "a" {
					t.Errorf("kind %q", got.TaskKind)
				}
			})
		})
	}
}

// The wait for the end of a FailureBackoff is a gate's.
func TestBackoffIsVisible(t *testing.T) {
	seen := observe(t)
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		sup := suture.New("top", suture.Spec{EventHook: func(suture.Event) {}, FailureThreshold: .5})
		sup.Add(a)
		_ = serve(t, sup, func() {
			a.send(errBroken)
			if st := seen["top"].snapshot().Tasks[0]; st.State != taskvisor.StatePending || st.Gate != "failure_backoff" {
				t.Errorf("%v at %q", st.State, st.Gate)
			}
		})
	})
}

type nameless struct{ n int }

func (nameless) Serve(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Any string can be a service's name, and any number of services can have it; one
// without a name has its type's.
func TestNames(t *testing.T) {
	seen := observe(t)
	synctest.Test(t, func(t *testing.T) {
		sup := suture.NewSimple(strings.Repeat("s", 300))
		for _, name := range []string{"same", "same", "", " \n", "two\nlines", "bad\xff", strings.Repeat("ä", 200), "same"} {
			sup.Add(newService(name))
		}
		sup.Add(&nameless{1})
		sup.Add(&nameless{2})
		_ = serve(t, sup, func() {
			var got []string
			for name, w := range seen {
				if want := strings.Repeat("s", 112) + "…"; name != want {
					t.Errorf("supervisor %q", name)
				}
				for _, st := range w.snapshot().Tasks {
					got = append(got, st.Name+"|"+st.Kind)
				}
			}
			want := []string{"same|same", "same #2|same", "unnamed|unnamed", "unnamed #2|unnamed", "two lines|two lines",
				"bad\uFFFD|bad\uFFFD", strings.Repeat("ä", 56) + "…|" + strings.Repeat("ä", 56) + "…", "same #3|same",
				"*suture_test.nameless|*suture_test.nameless", "*suture_test.nameless #2|*suture_test.nameless"}
			if !slices.Equal(got, want) {
				t.Errorf("tasks\n%q\nwant\n%q", got, want)
			}
		})
	})
}

// Supervisors are observed by path and number; a successor closes who watched the one
// before it.
func TestObserveNames(t *testing.T) {
	seen := observe(t)
	synctest.Test(t, func(t *testing.T) {
		top := suture.NewSimple("app")
		_ = serve(t, top, func() {
			first := top.Add(suture.NewSimple("db"))
			top.Add(suture.NewSimple("db"))
			synctest.Wait()
			if got, want := slices.Sorted(maps.Keys(seen)), []string{"app", "app/db", "app/db #2"}; !slices.Equal(got, want) {
				t.Errorf("supervisors %q, want %q", got, want)
			}
			_ = top.RemoveAndWait(first, 0)
		})
		before := seen["app"]
		if before.closed != 0 {
			t.Error("closed although nobody needs the place")
		}
		_ = serve(t, suture.NewSimple("app"), func() {})
		if before.closed != 1 || seen["app"].closed != 0 {
			t.Errorf("closed %d and %d times", before.closed, seen["app"].closed)
		}
	})
}

// Subscribers of supervisors that ended long ago are closed.
func TestObserveManyNames(t *testing.T) {
	seen := observe(t)
	synctest.Test(t, func(t *testing.T) {
		for i := range 70 {
			_ = serve(t, suture.NewSimple(fmt.Sprint("many", i)), func() {})
		}
	})
	for i := range 70 {
		if got, want := seen[fmt.Sprint("many", i)].closed, 1; (got == want) != (i < 6) {
			t.Errorf("number %d was closed %d times", i, got)
		}
	}
}

// A subscriber that refuses does not keep the program from serving.
func TestObserverRefuses(t *testing.T) {
	var out strings.Builder
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	suture.Observe(func(string) []taskvisor.Subscribe {
		return []taskvisor.Subscribe{&watch{refuses: errors.New("no room")}}
	})
	defer suture.Observe(nil)
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		sup := suture.NewSimple("top")
		sup.Add(a)
		_ = serve(t, sup, func() { wantCalls(t, a, 1) })
	})
	if got := out.String(); !strings.Contains(got, "supervisor=top") || !strings.Contains(got, "no room") {
		t.Errorf("log %q", got)
	}
}

// PassThroughPanics ends the process, hence in one of its own.
func TestPassThroughPanics(t *testing.T) {
	if os.Getenv("SUTURE_PANICS") != "" {
		sup := suture.New("top", suture.Spec{PassThroughPanics: true})
		sup.Add(serviceFunc(func(context.Context) error { panic("through") }))
		_ = sup.Serve(t.Context())
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPassThroughPanics$")
	cmd.Env = append(os.Environ(), "SUTURE_PANICS=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: through") {
		t.Errorf("%v\n%s", err, out)
	}
}
