package promsub_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

type labelsKey struct{}

// fromContext is an exemplar function: the labels that the test put there.
func fromContext(ctx context.Context) map[string]string {
	l, _ := ctx.Value(labelsKey{}).(map[string]string)
	return l
}

func traced(id string) context.Context {
	return context.WithValue(context.Background(), labelsKey{}, map[string]string{"trace_id": id})
}

// exemplars returns the labels of those that a series has, from its classic
// buckets.
func (r *rig) exemplars(outcome string) []map[string]string {
	r.t.Helper()
	var all []map[string]string
	h := r.scrape()["taskvisor_task_attempt_duration_seconds{result="+outcome+",task=a}"].GetHistogram()
	for _, b := range h.GetBucket() {
		if b.Exemplar != nil {
			all = append(all, labelsOf(b.Exemplar))
		}
	}
	return all
}

func labelsOf(e *dto.Exemplar) map[string]string {
	labels := make(map[string]string)
	for _, l := range e.Label {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

func (r *rig) wantExemplars(outcome string, want ...string) {
	r.t.Helper()
	var got []string
	for _, labels := range r.exemplars(outcome) {
		got = append(got, labels["trace_id"])
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Errorf("exemplars of %s are %q, want %q", outcome, got, want)
	}
}

func TestExemplarOfEveryFailure(t *testing.T) {
	for _, k := range []taskvisor.ResultKind{taskvisor.ResultFailure, taskvisor.ResultFatal, taskvisor.ResultTimeout, taskvisor.ResultPanic} {
		t.Run(k.String(), func(t *testing.T) {
			r := newRig(t, promsub.WithExemplars(fromContext))
			r.added(1, "a")
			r.attemptIn(traced("first"), 1, "a", k, 2*time.Millisecond)
			r.attemptIn(traced("second"), 1, "a", k, 20*time.Millisecond)
			r.attemptIn(traced("third"), 1, "a", k, 20*time.Millisecond) // takes the place of the second
			r.attemptIn(context.Background(), 1, "a", k, 20*time.Millisecond)
			r.wantExemplars(k.String(), "first", "third")
		})
	}
}

func TestExemplarOfOtherAttemptsAtMostOncePerSecond(t *testing.T) {
	for _, k := range []taskvisor.ResultKind{taskvisor.ResultSuccess, taskvisor.ResultCanceled} {
		t.Run(k.String(), func(t *testing.T) {
			r := newRig(t, promsub.WithExemplars(fromContext))
			r.added(1, "a")
			// Attempts without a trace do not use the second up.
			r.attemptIn(context.Background(), 1, "a", k, time.Millisecond)
			r.attemptIn(traced("first"), 1, "a", k, time.Millisecond)
			r.attemptIn(traced("too soon"), 1, "a", k, 20*time.Millisecond)
			r.wantExemplars(k.String(), "first")
			r.pass(time.Second - 20*time.Millisecond - 50*time.Millisecond)
			r.attemptIn(traced("second"), 1, "a", k, 50*time.Millisecond) // a second after the first
			r.wantExemplars(k.String(), "first", "second")
		})
	}
}

func TestExemplarsAreLimitedPerSeries(t *testing.T) {
	r := newRig(t, promsub.WithExemplars(fromContext))
	r.added(1, "a")
	r.added(2, "b")
	r.attemptIn(traced("b"), 2, "b", taskvisor.ResultSuccess, time.Millisecond)
	r.attemptIn(traced("a"), 1, "a", taskvisor.ResultSuccess, time.Millisecond)
	r.attemptIn(traced("canceled"), 1, "a", taskvisor.ResultCanceled, time.Millisecond)
	r.wantExemplars("success", "a")
	r.wantExemplars("canceled", "canceled")
}

func TestExemplarLabelsFitWhatAScrapeCarries(t *testing.T) {
	wide := strings.Repeat("é", 60) // runes count, not bytes
	for _, c := range []struct {
		name        string
		given, want map[string]string
	}{
		{"none", nil, nil},
		{"empty", map[string]string{}, nil},
		{"exactly 128", map[string]string{"abcd": wide, "efgh": wide}, map[string]string{"abcd": wide, "efgh": wide}},
		{"129", map[string]string{"abcd": wide, "efghi": wide}, map[string]string{"abcd": wide}},
		{"the longest goes", map[string]string{"trace_id": "0af7", "url": strings.Repeat("x", 300)}, map[string]string{"trace_id": "0af7"}},
		{"one that never fits", map[string]string{"url": strings.Repeat("x", 300)}, nil},
		{"names", map[string]string{"ok": "1", "not ok": "1", "": "1", "__reserved": "1", "é": "1"}, map[string]string{"ok": "1"}},
		{"values", map[string]string{"ok": "é", "broken": "\xff"}, map[string]string{"ok": "é"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, promsub.WithExemplars(func(context.Context) map[string]string { return c.given }))
			given := maps.Clone(c.given)
			r.added(1, "a")
			r.attempt(1, "a", taskvisor.ResultFailure, time.Millisecond)
			r.want(map[string]float64{"task_attempt_duration_seconds{result=failure,task=a}": 1})
			got := r.exemplars("failure")
			if c.want == nil && len(got) > 0 || c.want != nil && (len(got) != 1 || !maps.Equal(got[0], c.want)) {
				t.Errorf("exemplars %v, want %v", got, c.want)
			}
			if !maps.Equal(c.given, given) {
				t.Error("the user's map was changed")
			}
		})
	}
}

func TestExemplarFunctionThatPanicsLosesNoObservation(t *testing.T) {
	r := newRig(t, promsub.WithExemplars(func(context.Context) map[string]string { panic("no trace") }))
	r.added(1, "a")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not reach the supervisor")
			}
		}()
		r.attempt(1, "a", taskvisor.ResultFailure, time.Second)
	}()
	r.want(map[string]float64{
		"task_attempts_total{result=failure,task=a}":           1,
		"task_attempt_duration_seconds{result=failure,task=a}": 1,
	})
}

func TestExemplarIsOnThePage(t *testing.T) {
	r := newRig(t, promsub.WithExemplars(fromContext))
	r.added(1, "a")
	r.attemptIn(traced("4bf92f35"), 1, "a", taskvisor.ResultFailure, time.Second)
	const want = `# {trace_id="4bf92f35"} 1.0`
	if text := page(t, r, "application/openmetrics-text; version=1.0.0"); !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

func TestExemplarGateConcurrentSafe(t *testing.T) { synctest.Test(t, exemplarGateConcurrentSafe) }

func exemplarGateConcurrentSafe(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, promsub.WithExemplars(func(context.Context) map[string]string {
		asked.Add(1)
		return map[string]string{"trace_id": "x"}
	}), promsub.WithTaskLabel(func(string) string { return "a" }))
	var all sync.WaitGroup
	for id := range taskvisor.TaskID(8) {
		all.Go(func() {
			r.added(id, "a")
			for range 1000 {
				r.attempt(id, "a", taskvisor.ResultSuccess, 0)
			}
		})
	}
	all.Wait()
	r.want(map[string]float64{"task_attempt_duration_seconds{result=success,task=a}": 8000})
	if n := asked.Load(); n < 1 || n > 8 {
		t.Errorf("the function was called %d times within one instant, by 8 goroutines", n)
	}
	if utf8.RuneCountInString(r.exemplars("success")[0]["trace_id"]) != 1 {
		t.Error("no exemplar")
	}
}

// FuzzExemplar gives labels of any kind to the client library, which panics at
// those that it cannot carry.
func FuzzExemplar(f *testing.F) {
	f.Add("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", "span_id", "00f067aa0ba902b7")
	f.Add("", "", "__name__", "\xff")
	f.Add("é", strings.Repeat("é", 200), "a", strings.Repeat("b", 126))
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		given := map[string]string{name1: value1, name2: value2}
		r := newRig(t, promsub.WithExemplars(func(context.Context) map[string]string { return given }))
		r.added(1, "a")
		r.attempt(1, "a", taskvisor.ResultFailure, time.Millisecond)
		r.want(map[string]float64{"task_attempt_duration_seconds{result=failure,task=a}": 1})
		for _, labels := range r.exemplars("failure") {
			for name, value := range labels {
				if given[name] != value {
					t.Errorf("label %q has the value %q, want %q", name, value, given[name])
				}
			}
		}
	})
}
