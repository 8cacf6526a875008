package promsub_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// story is a supervisor in the middle of its shutdown: every metric has a value
// that tells it from the others.
func story(t *testing.T, opts ...promsub.Option) *rig {
	r := newRig(t, opts...)
	start := r.now
	r.added(1, "resident")
	r.added(2, "poll")
	r.event(taskvisor.Event{Kind: taskvisor.TaskAdded, TaskID: 3, Task: "job", Slot: "job", Duration: 700 * time.Millisecond})
	r.event(taskvisor.Event{Kind: taskvisor.TaskStarting, TaskID: 1, Task: "resident"})
	r.attempt(2, "poll", taskvisor.ResultSuccess, 20*time.Millisecond)
	r.backoff(2, "poll", taskvisor.BackoffSuccess, time.Minute)
	r.attempt(2, "poll", taskvisor.ResultTimeout, 2*time.Second)
	r.backoff(2, "poll", taskvisor.BackoffFailure, 200*time.Millisecond)
	r.pass(200 * time.Millisecond)
	r.attempt(2, "poll", taskvisor.ResultPanic, time.Second)
	r.backoff(2, "poll", taskvisor.BackoffRequested, 4*time.Second)
	r.pass(1500 * time.Millisecond)
	r.attempt(3, "job", taskvisor.ResultFatal, 90*time.Second)
	r.removed(3, "job", taskvisor.OutcomeFatal)
	for _, e := range []taskvisor.Event{
		{Admission: taskvisor.Queue, Verdict: taskvisor.VerdictStarted},
		{Admission: taskvisor.Queue, Verdict: taskvisor.VerdictQueued},
		{Admission: taskvisor.DropIfRunning, Verdict: taskvisor.VerdictRejected},
		{Admission: taskvisor.Join, Verdict: taskvisor.VerdictJoined},
	} {
		e.Kind = taskvisor.ControllerSubmitted
		r.event(e)
	}
	r.event(taskvisor.Event{Kind: taskvisor.ControllerRejected, Reason: taskvisor.ErrSlotBusy})
	r.snap = taskvisor.Snapshot{
		Supervisor: "sup", State: taskvisor.StateDraining, StopSince: r.now.Add(-2500 * time.Millisecond),
		MaxConcurrent: 8, InUse: 2, Added: 3, Removed: 1,
		Tasks: []taskvisor.TaskStatus{
			{ID: 1, Name: "resident", State: taskvisor.StateStopping, AttemptStart: start, Stuck: true},
			{
				ID: 2, Name: "poll", State: taskvisor.StateBackoff, Streak: 2, Delay: 4 * time.Second,
				NextStart: r.now.Add(2500 * time.Millisecond), LastSuccess: start.Add(20 * time.Millisecond),
			},
		},
		Slots: []taskvisor.SlotStatus{
			{Key: "a", State: taskvisor.StateRunning, Queued: 2, Oldest: start.Add(5 * time.Second)},
			{Key: "b", State: taskvisor.StateRunning, Queued: 5, Oldest: start.Add(3 * time.Second)},
			{Key: "c", State: taskvisor.StateAdmitting},
		},
		Subscribers: []taskvisor.SubscriberStatus{
			{Name: "metrics", Inline: true, Delivered: 40},
			{
				Name: "log", Queued: 3, Capacity: 1024, Delivered: 30, Panics: 1,
				Dropped: map[taskvisor.EventKind]uint64{taskvisor.TaskStarting: 7},
			},
			{Name: "log", Queued: 1, Capacity: 16, Delivered: 2, Dropped: map[taskvisor.EventKind]uint64{taskvisor.TaskStarting: 1}},
		},
	}
	return r
}

// page is what a scraper gets, without the one family that depends on the
// versions that the test was built with.
func page(t *testing.T, r *rig, accept string) string {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Fatal(rec.Body)
	}
	var b strings.Builder
	for line := range strings.Lines(rec.Body.String()) {
		if !strings.Contains(line, "_build_info") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestScrapeGolden(t *testing.T) {
	r := story(t)
	const path = "testdata/scrape.golden"
	text := page(t, r, "text/plain")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(golden)) {
		if words := strings.Fields(line); words[0] == "#" && words[1] == "TYPE" {
			names = append(names, words[2])
		}
	}
	if err := testutil.GatherAndCompare(r.reg, bytes.NewReader(golden), names...); err != nil {
		t.Error(err)
	}
	if text != string(golden) {
		t.Errorf("the page has families that %s has not, or in another form", path)
	}
}

func TestScrapeIsClean(t *testing.T) {
	r := story(t, promsub.WithConstLabels(map[string]string{"region": "north"}), promsub.WithNamespace("app"))
	if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	for line := range strings.Lines(page(t, r, "text/plain")) {
		if !strings.HasPrefix(line, "#") && (!strings.HasPrefix(line, "app_") || !strings.Contains(line, `region="north"`)) {
			t.Errorf("without namespace or constant label: %s", line)
		}
	}
}

func TestBuildInfoNamesTheVersions(t *testing.T) {
	r := newRig(t)
	for series := range r.scrape() {
		if strings.HasPrefix(series, "taskvisor_build_info{") {
			if !strings.Contains(series, "go_version="+runtime.Version()) || strings.Contains(series, "version=,") || strings.HasSuffix(series, "version=}") {
				t.Errorf("got %s", series)
			}
			return
		}
	}
	t.Error("build_info is absent")
}

func TestHistogramsAreClassicAndNative(t *testing.T) {
	for _, c := range []struct {
		name    string
		opts    []promsub.Option
		native  bool
		buckets int
	}{
		{"both", nil, true, 12},
		{"classic", []promsub.Option{promsub.WithoutNativeHistograms(), promsub.WithBuckets([]float64{1, 2})}, false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.opts...)
			r.added(1, "a")
			r.attempt(1, "a", taskvisor.ResultSuccess, time.Second)
			all := r.scrape()
			for _, series := range []string{"taskvisor_task_attempt_duration_seconds{outcome=success,task=a}", "taskvisor_admission_wait_seconds{}"} {
				h := all[series].GetHistogram()
				if len(h.GetBucket()) != c.buckets {
					t.Errorf("%s has %d classic buckets, want %d", series, len(h.GetBucket()), c.buckets)
				}
				if native := h.Schema != nil; native != c.native {
					t.Errorf("%s native: %t, want %t", series, native, c.native)
				}
			}
		})
	}
}

func TestGaugesWithoutMeaningAreAbsent(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.snap.Tasks = []taskvisor.TaskStatus{{ID: 1, Name: "a", State: taskvisor.StatePending}}
	r.snap.Slots = []taskvisor.SlotStatus{{Key: "k", State: taskvisor.StateRunning}}
	r.snap.Subscribers = []taskvisor.SubscriberStatus{{Name: "metrics", Inline: true, Delivered: 1}}
	r.want(map[string]float64{
		"concurrency_limit{}":                          -1,
		"concurrency_in_use{}":                         0,
		"shutdown_start_timestamp_seconds{}":           -1,
		"shutdown_duration_seconds{}":                  -1,
		"slot_queue_oldest_timestamp_seconds{}":        -1,
		"task_last_success_timestamp_seconds{task=a}":  -1,
		"task_next_start_timestamp_seconds{task=a}":    -1,
		"task_attempt_start_timestamp_seconds{task=a}": -1,
		"subscriber_queue_length{subscriber=metrics}":  -1,
		"subscriber_events_total{subscriber=metrics}":  1,
	})
}

func TestShutdownDurationStopsAtTheEnd(t *testing.T) {
	r := newRig(t)
	begin := r.now
	r.snap.State, r.snap.StopSince = taskvisor.StateDraining, begin
	r.pass(3 * time.Second)
	r.want(map[string]float64{
		"shutdown_duration_seconds{}":        3,
		"shutdown_start_timestamp_seconds{}": float64(begin.Unix()),
		"supervisor_state{state=draining}":   1,
	})
	r.snap.State = taskvisor.StateStopped // in no time, as the clock tells
	r.want(map[string]float64{"shutdown_duration_seconds{}": 0})
	r.snap.StopTook = 4 * time.Second
	r.pass(time.Hour)
	r.want(map[string]float64{
		"shutdown_duration_seconds{}":      4,
		"supervisor_state{state=draining}": 0,
		"supervisor_state{state=stopped}":  1,
	})
}
