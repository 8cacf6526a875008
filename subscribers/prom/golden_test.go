package promsub_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// story is a real supervisor with every feature in use, and shutdown brings it to
// the middle of its shutdown. Every family has series before or after that, and those that
// matter have a value that tells them from the others. It must be called in a bubble.
func story(t *testing.T, opts ...promsub.Option) (r *rig, shutdown func()) {
	t.Helper()
	blocked := make(chan struct{})
	sink := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		e.ReportFailure(errWork)
		<-blocked
	})
	engine := new(leasetest.Memory).Connect()
	owner := ownerOf(t, engine, "here")
	opts = append(opts, promsub.WithLeases(owner))
	r, sup, _ := supervisedWith(t, opts, taskvisor.WithSubscriber(owner.Subscriber(), taskvisor.WithName("leases")), taskvisor.WithMaxConcurrent(9), taskvisor.WithMaxQueue(1), taskvisor.WithGrace(5*time.Second),
		taskvisor.WithRestartBudget(1, 10*time.Minute), taskvisor.WithSubscriber(sink, taskvisor.WithName("log"), taskvisor.Queued(4)))
	t.Cleanup(func() { close(blocked) })
	door := taskvisor.NewLimit("door", 1)
	stubborn := add(t, sup, taskvisor.Once("stubborn", taskvisortest.Script(taskvisortest.Ignore(13*time.Second)), taskvisor.WithGrace(time.Second)))
	synctest.Wait()
	stubborn.Stop()
	add(t, sup, taskvisor.Restartable("resident", taskvisortest.Script(taskvisortest.Ignore(14*time.Second))))
	add(t, sup, taskvisor.Restartable("retried", taskvisortest.Script(taskvisortest.Panic("no"), taskvisortest.Fail(errWork)),
		taskvisor.ConstantBackoff(2*time.Second)))
	poll := add(t, sup, taskvisor.Periodic("poll", time.Minute, taskvisortest.Script(
		taskvisortest.After(20*time.Millisecond, taskvisortest.Succeed()), taskvisortest.Ignore(4*time.Second))))
	var third *taskvisor.Handle
	for _, name := range []string{"first", "second", "third"} {
		third = add(t, sup, taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.After(7*time.Second, taskvisortest.Succeed())), taskvisor.WithGate(door),
			taskvisor.WithKind("through the door")))
	}
	engine.Delay(time.Nanosecond) // or the lease may be there before its task waits
	add(t, sup, idle("leader", owner.Singleton("leader"), taskvisor.WithGrace(time.Second)))
	time.Sleep(time.Nanosecond)
	engine.Delay(0)
	add(t, sup, taskvisor.Once("job", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(taskvisor.Fatal(errWork))))))
	for _, a := range []taskvisor.Admission{taskvisor.Queue, taskvisor.Queue, taskvisor.Queue, taskvisor.DropIfRunning, taskvisor.Join} {
		s := taskvisor.Submission{Task: taskvisor.Once("submitted "+fmt.Sprint(len(sup.Snapshot().Tasks)), taskvisortest.Script(taskvisortest.Ignore(14*time.Second))), Slot: "key", Admission: a}
		if _, err := sup.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	return r, func() {
		poll.RunNow(nil)
		third.Pause(nil) // or the stop of the second may let it in
		synctest.Wait()
		go func() { _ = sup.Shutdown(context.Background()) }() // ends with the shutdown
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
	}
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
	dropped := 0.0
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, droppedFamily+"{") && strings.Contains(line, `subscriber="log"`) {
			n, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			dropped += n
			continue
		}
		if !strings.Contains(line, "_build_info") {
			b.WriteString(line)
		}
	}
	fmt.Fprintf(&b, "# the log has dropped %v\n", dropped)
	return b.String()
}

// droppedFamily tells by kind what a slow subscriber has lost: which of those that came at
// one instant are the last ones, which it has not, is nobody's promise.
const droppedFamily = "taskvisor_subscriber_events_dropped_total"

func TestScrapeGolden(t *testing.T) { synctest.Test(t, scrapeGolden) }

func scrapeGolden(t *testing.T) {
	r, shutdown := story(t)
	shutdown()
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
		if words := strings.Fields(line); words[0] == "#" && words[1] == "TYPE" && words[2] != droppedFamily {
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

func TestScrapeIsClean(t *testing.T) { synctest.Test(t, scrapeIsClean) }

func scrapeIsClean(t *testing.T) {
	r, _ := story(t, promsub.WithConstLabels(map[string]string{"region": "north"}), promsub.WithNamespace("app"))
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
			r.event(taskvisor.Event{Kind: taskvisor.TaskGated, TaskID: 1, Task: "a", Gate: "door"})
			all := r.scrape()
			for _, series := range []string{"taskvisor_task_attempt_duration_seconds{result=success,task=a}", "taskvisor_gate_wait_seconds{gate=door}"} {
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
	r.snap.Slots = []taskvisor.SlotStatus{{Key: "k", State: taskvisor.SlotRunning}}
	r.snap.Subscribers = []taskvisor.SubscriberStatus{{Name: "metrics", Inline: true, Delivered: 1}}
	r.want(map[string]float64{
		"concurrency_limit{}":                          -1,
		"concurrency_in_use{}":                         0,
		"shutdown_start_timestamp_seconds{}":           -1,
		"shutdown_duration_seconds{}":                  -1,
		"slot_queue_oldest_timestamp_seconds{}":        -1,
		"task_interval_seconds{task=a}":                -1,
		"gate_waiting{gate=max_concurrent}":            -1,
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
	r.snap.State, r.snap.StopSince = taskvisor.SupervisorDraining, begin
	r.pass(3 * time.Second)
	r.want(map[string]float64{
		"shutdown_duration_seconds{}":        3,
		"shutdown_start_timestamp_seconds{}": float64(begin.Unix()),
		"supervisor_state{state=draining}":   1,
	})
	r.snap.State = taskvisor.SupervisorStopped // in no time, as the clock tells
	r.want(map[string]float64{"shutdown_duration_seconds{}": 0})
	r.snap.StopTook = 4 * time.Second
	r.pass(time.Hour)
	r.want(map[string]float64{
		"shutdown_duration_seconds{}":      4,
		"supervisor_state{state=draining}": 0,
		"supervisor_state{state=stopped}":  1,
	})
}
