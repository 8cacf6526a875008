package promsub_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// created returns the created timestamp of a counter or histogram; the zero time
// is its absence, which a gauge must have.
func created(t *testing.T, m *dto.Metric) time.Time {
	t.Helper()
	ts := m.GetCounter().GetCreatedTimestamp()
	if m.Histogram != nil {
		ts = m.GetHistogram().GetCreatedTimestamp()
	}
	if ts == nil {
		return time.Time{}
	}
	return ts.AsTime()
}

func TestCountersSayWhenTheyWereCreated(t *testing.T) {
	r := newRig(t, promsub.WithSeriesGrace(0))
	begin := r.now
	r.pass(time.Minute)
	r.added(1, "a")
	r.pass(time.Minute)
	r.attempt(1, "a", taskvisor.ResultFatal, time.Second)
	r.backoff(1, "a", taskvisor.BackoffFailure, time.Second)
	counters := 0
	for name, m := range r.scrape() {
		if m.Counter == nil {
			continue
		}
		counters++
		want := begin
		if strings.Contains(name, "task=a") {
			want = begin.Add(time.Minute - 10*time.Second) // a scrape may have begun before
		}
		if got := created(t, m); !got.Equal(want) {
			t.Errorf("%s was created %s after the start, want %s", name, got.Sub(begin), want.Sub(begin))
		}
	}
	if counters < 20 {
		t.Errorf("only %d counters", counters)
	}
}

func TestSeriesThatComeBackAreCreatedAnew(t *testing.T) {
	r := newRig(t, promsub.WithSeriesGrace(0))
	success := "taskvisor_task_attempts_total{result=success,task=a}"
	r.added(1, "a")
	first := r.now
	r.pass(time.Minute)
	r.removed(1, "a", taskvisor.OutcomeCompleted)
	r.added(2, "a") // within the grace: the same series
	if got := created(t, r.scrape()[success]); !got.Equal(first) {
		t.Errorf("the series that goes on says %s, want %s", got, first)
	}
	r.removed(2, "a", taskvisor.OutcomeCompleted)
	for range 3 {
		r.pass(time.Minute)
		r.scrape()
	}
	r.added(3, "a")
	// Not before the last sample of the former one, or no reader takes the new one's
	// zero.
	if got := created(t, r.scrape()[success]); !got.Equal(r.now) {
		t.Errorf("the new series says %s, want %s", got, r.now)
	}
}

// TestFailureBeforeTheFirstScrapeIsInTime holds what zero ingestion needs of a
// task that is over before any scrape: a beginning that is not after its
// failure, and not before the subscriber's.
func TestFailureBeforeTheFirstScrapeIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r, sup, _ := supervised(t)
		time.Sleep(time.Second)
		gone := add(t, sup, taskvisor.Once("gone", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errWork)))))
		<-gone.Done()
		failed := time.Now()
		time.Sleep(5 * time.Second)
		scraped := r.scrape()
		for _, series := range []string{
			"taskvisor_task_attempts_total{result=fatal,task=gone}",
			"taskvisor_task_attempt_duration_seconds{result=fatal,task=gone}",
			"taskvisor_tasks_finished_total{outcome=fatal}",
		} {
			if at := created(t, scraped[series]); number(scraped[series]) != 1 || at.Before(begin) || at.After(failed) {
				t.Errorf("%s is %v since %s, want 1 since some time from %s to %s", series, number(scraped[series]), at, begin, failed)
			}
		}
	})
}
