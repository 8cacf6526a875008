package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func noWork(context.Context) error { return nil }

func TestNamesAccepted(t *testing.T) {
	inRoom(t, func(r *room) {
		for _, name := range []string{
			"a", "mailer", "a b", " ", "a/b:c=d{e}", "Überwachung", "名前", "🦀", "\u00a0", "\ufffd",
			`quote"d`, strings.Repeat("n", 128), strings.Repeat("é", 64),
		} {
			h := r.add(taskvisor.Once(name, taskvisortest.Script(taskvisortest.Block())))
			same(t, "name", h.Name(), name)
			if got, ok := r.sup.Lookup(name); !ok || got != h {
				t.Errorf("Lookup(%q) does not find the task", name)
			}
		}
	})
}

// wrongNames are names that are refused, with what the error says.
var wrongNames = map[string]string{
	"":                       "empty name",
	strings.Repeat("n", 129): "129 bytes",
	strings.Repeat("é", 65):  "130 bytes",
	"a\xffb":                 `"a\xffb" is not valid UTF-8`,
	"\xed\xa0\x80":           "not valid UTF-8", // a surrogate
	"é\xc3":                  "not valid UTF-8", // cut off
	"a\nb":                   `"a\nb" has a control character`,
	"\x00":                   "control character",
	"a\x7f":                  "control character",
	"a\u0085b":               "control character", // C1
	"é\t":                    "control character",
}

func TestNamesRefused(t *testing.T) {
	calls := map[string]func(ctx context.Context, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) error{
		"add": func(ctx context.Context, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) error {
			_, err := sup.Add(ctx, spec)
			return err
		},
		"add all": func(ctx context.Context, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) error {
			_, err := sup.AddAll(ctx, taskvisor.Once("valid", noWork), spec)
			return err
		},
		"submit": func(ctx context.Context, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) error {
			_, err := sup.Submit(ctx, taskvisor.Submission{Task: spec, Slot: "slot"})
			return err
		},
	}
	for call, do := range calls {
		t.Run(call, func(t *testing.T) {
			inRoom(t, func(r *room) {
				for name, why := range wrongNames {
					err := do(context.Background(), r.sup, taskvisor.Once(name, noWork))
					checkRefusal(t, err, name, why)
				}
				nothingLeft(r)
			})
		})
	}
}

// checkRefusal demands a *TaskError with the culprit's name and a reason.
func checkRefusal(t *testing.T, err error, name, why string) {
	t.Helper()
	var refused *taskvisor.TaskError
	if !errors.As(err, &refused) || refused.Task != name {
		t.Errorf("error %v does not have the name %q", err, name)
		return
	}
	if text := err.Error(); !strings.Contains(text, why) || name != "" && !strings.Contains(text, fmt.Sprintf("%q", name)) {
		t.Errorf("error %q does not say %q and %q", text, name, why)
	}
}

// nothingLeft demands that no call so far has left a trace.
func nothingLeft(r *room) {
	r.Helper()
	synctest.Wait()
	sn := r.sup.Snapshot()
	if len(sn.Tasks)+len(sn.Slots)+len(r.sup.List()) > 0 || sn.Added+sn.Submitted+sn.Rejected+sn.Started > 0 {
		r.Errorf("left behind: %+v", sn)
	}
	if events := r.rec.Events(); len(events) > 0 {
		r.Errorf("published %v", events)
	}
}

// Run refuses what Add refuses, and stays unstarted.
func TestNamesRefusedByRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &taskvisortest.Recorder{}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(rec))
		if err != nil {
			t.Fatal(err)
		}
		for name, why := range wrongNames {
			err := sup.Run(context.Background(), taskvisor.Once("valid", noWork), taskvisor.Once(name, noWork))
			checkRefusal(t, err, name, why)
		}
		same(t, "state", sup.Snapshot().State, taskvisor.SupervisorNew)
		same(t, "events", len(rec.Events()), 0)
		if err := sup.Run(context.Background(), taskvisor.Once("valid", noWork)); err != nil {
			t.Errorf("Run after refusals: %v", err)
		}
		same(t, "trace", rec.Trace("valid"), "A S ✓ E D")
	})
}

func TestSpecZeroValueIsRefused(t *testing.T) {
	inRoom(t, func(r *room) {
		_, err := r.sup.Add(context.Background(), taskvisor.TaskSpec{})
		if err == nil || !strings.Contains(err.Error(), "empty spec") {
			t.Errorf("Add of the zero spec: %v", err)
		}
		if _, err = r.sup.Submit(context.Background(), taskvisor.Submission{Slot: "s"}); err == nil {
			t.Error("Submit of the zero submission was accepted")
		}
		nothingLeft(r)
	})
}

// A programmer's error panics, and says of which task.
func TestSpecNilFuncPanics(t *testing.T) {
	for kind, build := range map[string]func(){
		"once":        func() { taskvisor.Once("culprit", nil) },
		"restartable": func() { taskvisor.Restartable("culprit", nil) },
		"periodic":    func() { taskvisor.Periodic("culprit", time.Second, nil) },
	} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), `"culprit"`) {
					t.Errorf("%s: recovered %v", kind, v)
				}
			}()
			build()
		}()
	}
}

func TestSpecWithCopies(t *testing.T) {
	first := taskvisor.Restartable("a", noWork, taskvisor.WithTimeout(time.Second))
	second := first.With(taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(3))
	third := second.With(taskvisor.WithoutTimeout(), taskvisor.WithUnlimitedRetries(), taskvisor.RestartAlways(time.Hour))
	same(t, "first", first.String(), "a: restart on_failure, backoff 200ms ×2 to 30s, equal_jitter, unlimited retries, timeout 1s")
	same(t, "second", second.String(), "a: restart on_failure, backoff 200ms ×2 to 30s, equal_jitter, at most 3 retries, timeout 1m0s")
	same(t, "third", third.String(), "a: restart always(1h0m0s), backoff 200ms ×2 to 30s, equal_jitter, unlimited retries, no timeout")
	same(t, "without options", third.With().String(), third.String())
	once := taskvisor.Once("b", noWork)
	once.With(taskvisor.WithTimeout(time.Second))
	same(t, "another Once", taskvisor.Once("c", noWork).String(), "c: restart never, no timeout")
}

// One spec may be added many times, under a name that is free.
func TestSpecIsReusable(t *testing.T) {
	inRoom(t, func(r *room) {
		spec := taskvisor.Once("again", noWork)
		for range 3 {
			r.run(spec)
		}
		r.trace("again", "A S ✓ E D A S ✓ E D A S ✓ E D")
	})
}

// String and LogValue show the policy and never touch the work.
func TestSpecLogValue(t *testing.T) {
	spec := taskvisor.Periodic("p", time.Minute, noWork, taskvisor.WithTimeout(time.Second), taskvisor.WithMaxRetries(2),
		taskvisor.ConstantBackoff(time.Second))
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "task", spec)
	for _, want := range []string{"task.name=p", "task.restart=always(1m0s)", "task.backoff=1s", "task.timeout=1s", "task.max_retries=2"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in %s", want, b.String())
		}
	}
	b.Reset()
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "task", taskvisor.Once("o", noWork))
	if strings.Contains(b.String(), "timeout") || strings.Contains(b.String(), "retries") {
		t.Errorf("limits that are not set are in %s", b.String())
	}
}

// The policy in force is what snapshot, handle, attempt and body see.
func TestSpecEffectivePolicyIsShown(t *testing.T) {
	inRoom(t, func(r *room) {
		seen := make(chan string, 1)
		h := r.add(taskvisor.Restartable("a", func(ctx context.Context) error {
			a, _ := taskvisor.FromContext(ctx)
			seen <- a.Spec.String()
			<-ctx.Done()
			return nil
		}, taskvisor.WithMaxRetries(7)))
		const want = "a: restart on_failure, backoff 1s, at most 7 retries, timeout 1m0s"
		same(t, "FromContext", <-seen, want)
		same(t, "Status", h.Status().Spec.String(), want)
		same(t, "Snapshot", r.sup.Snapshot().Tasks[0].Spec.String(), want)
	}, taskvisor.WithTaskDefaults(taskvisor.WithTimeout(time.Minute), taskvisor.ConstantBackoff(time.Second)))
}
