package taskvisor_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// ownLabels returns the pprof labels of the calling goroutine, as a profile shows
// them. The caller's function must be running on this goroutine only.
func ownLabels(t testing.TB, function string) string {
	t.Helper()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Error(err)
	}
	for record := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(record, "taskvisor_test."+function+"+") {
			continue
		}
		for line := range strings.Lines(record) {
			if labels, ok := strings.CutPrefix(line, "# labels: "); ok {
				return strings.TrimSpace(labels)
			}
		}
		return ""
	}
	t.Errorf("%s is not running", function)
	return ""
}

// The goroutine wears the task's labels, with those of the given context.
func TestLabelsOnTheGoroutine(t *testing.T) {
	inRoom(t, func(r *room) {
		got := make(chan string, 1)
		ctx := pprof.WithLabels(context.Background(), pprof.Labels("tenant", "acme", "taskvisor_task", "overridden"))
		h, err := r.sup.Add(ctx, taskvisor.Once("labelled", func(ctx context.Context) error { return labelledBody(r, got) }))
		if err != nil {
			r.Fatal(err)
		}
		r.end(h)
		same(r, "labels", <-got, fmt.Sprintf(`{"taskvisor_supervisor":"hall", "taskvisor_task":"labelled", "taskvisor_task_id":"%d", "tenant":"acme"}`, h.ID()))
	}, taskvisor.WithName("hall"))
}

func labelledBody(t testing.TB, got chan<- string) error {
	got <- ownLabels(t, "labelledBody")
	return nil
}

// The attempt's context carries them, so that pprof.Do in the body keeps them and
// gives them back.
func TestLabelsAreKeptByDo(t *testing.T) {
	inRoom(t, func(r *room) {
		var inside, after string
		h := r.add(taskvisor.Once("a", func(ctx context.Context) error {
			pprof.Do(ctx, pprof.Labels("own", "x"), func(ctx context.Context) {
				own, _ := pprof.Label(ctx, "own")
				same(r, "own label", own, "x")
				inside = labelsInDo(r)
			})
			after = labelsAfterDo(r)
			return nil
		}))
		r.end(h)
		same(r, "inside", inside, fmt.Sprintf(`{"own":"x", "taskvisor_supervisor":"taskvisor", "taskvisor_task":"a", "taskvisor_task_id":"%d"}`, h.ID()))
		same(r, "after", after, fmt.Sprintf(`{"taskvisor_supervisor":"taskvisor", "taskvisor_task":"a", "taskvisor_task_id":"%d"}`, h.ID()))
	})
}

func labelsInDo(t testing.TB) string    { s := ownLabels(t, "labelsInDo"); return s }
func labelsAfterDo(t testing.TB) string { s := ownLabels(t, "labelsAfterDo"); return s }

// They are set anew at each attempt's start, on a goroutine of its own.
func TestLabelsAreSetAnew(t *testing.T) {
	inRoom(t, func(r *room) {
		var got []string
		var goroutines []string
		h := r.add(taskvisor.Periodic("a", 0, func(ctx context.Context) error {
			got = append(got, labelsOfAttempt(r))
			goroutines = append(goroutines, goroutine())
			pprof.SetGoroutineLabels(context.Background())
			if len(got) == 3 {
				return taskvisor.ErrCanceled
			}
			return nil
		}, taskvisor.WithoutRestartFloor()))
		r.end(h)
		want := fmt.Sprintf(`{"taskvisor_supervisor":"taskvisor", "taskvisor_task":"a", "taskvisor_task_id":"%d"}`, h.ID())
		sameList(r, "labels", got, []string{want, want, want})
		same(r, "equal goroutines", goroutines[0] == goroutines[1] || goroutines[1] == goroutines[2] || goroutines[0] == goroutines[2], false)
	})
}

func labelsOfAttempt(t testing.TB) string { s := ownLabels(t, "labelsOfAttempt"); return s }

// A task that a task adds with its own context has its own labels.
func TestLabelsOfNestedTask(t *testing.T) {
	inRoom(t, func(r *room) {
		inner := make(chan map[string]string, 1)
		var h *taskvisor.Handle
		r.run(taskvisor.Once("outer", func(ctx context.Context) (err error) {
			h, err = r.sup.Add(ctx, taskvisor.Once("inner", func(ctx context.Context) error {
				got := map[string]string{}
				pprof.ForLabels(ctx, func(k, v string) bool { got[k] = v; return true })
				inner <- got
				a, _ := taskvisor.FromContext(ctx)
				same(r, "attempt", a.Task, "inner")
				return nil
			}))
			return err
		}))
		same(r, "labels", fmt.Sprint(<-inner), fmt.Sprintf("map[taskvisor_supervisor:taskvisor taskvisor_task:inner taskvisor_task_id:%d]", h.ID()))
	})
}

// With tracing on, an attempt is a region of the execution trace; off, it is not.
func TestTraceRegions(t *testing.T) {
	if trace.IsEnabled() {
		t.Log("the tests are being traced: regions are in that trace")
		return
	}
	var b bytes.Buffer
	sup, _ := taskvisortest.Start(t)
	run := func(name string) {
		h, err := sup.Add(t.Context(), taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Panic(1), taskvisortest.Goexit(), taskvisortest.Succeed()),
			taskvisor.ConstantBackoff(time.Millisecond)))
		if err != nil {
			t.Fatal(err)
		}
		o, err := h.Wait(t.Context())
		if err != nil || o.Attempts != 4 {
			t.Errorf("%v, %v", o, err)
		}
	}
	run("before the trace")
	if err := trace.Start(&b); err != nil {
		t.Fatal(err)
	}
	run("during the trace")
	trace.Stop()
	same(t, "region", bytes.Contains(b.Bytes(), []byte("taskvisor.attempt")), true)
	same(t, "task", bytes.Contains(b.Bytes(), []byte("during the trace")), true)
	same(t, "earlier task", bytes.Contains(b.Bytes(), []byte("before the trace")), false)
}

// asked counts what a context is asked.
type asked struct {
	context.Context
	n *atomic.Int64
}

func (c asked) Value(key any) any { c.n.Add(1); return c.Context.Value(key) }

// The context given to Add is asked for its labels then, and not when a task that has
// waited for long gets them again: its lock is held.
func TestLabelsAreAskedForOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		var n atomic.Int64
		h, err := sup.Add(asked{context.Background(), &n}, taskvisor.Periodic("a", time.Hour, noWork, taskvisor.WithInitialDelay(time.Hour, time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		atFirst := n.Load()
		time.Sleep(24 * time.Hour)
		if h.Status().Attempt < 20 || n.Load() != atFirst {
			t.Errorf("%d attempts, asked %d times, then %d", h.Status().Attempt, atFirst, n.Load()-atFirst)
		}
	})
}
