package life_test

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// The table of results: what the body does, against what had happened before.
func TestResultTable(t *testing.T) {
	bodies := []struct {
		name string
		end  life.Ending
	}{
		{"panic", life.Ending{Kind: life.Panic}},
		{"Goexit", life.Ending{Kind: life.Failure, Exited: true}},
		{"nil", life.Ending{Kind: life.Success}},
		{"Fatal", life.Ending{Kind: life.Fatal}},
		{"ErrCanceled", life.Ending{Kind: life.Canceled}},
		{"error", life.Ending{Kind: life.Failure}},
	}
	const ok, fail, fatal, late, broke, over = life.Success, life.Failure, life.Fatal, life.Timeout, life.Panic, life.Canceled
	for _, tt := range []struct {
		before  string // calls between the start and the return
		results [6]life.Result
		outcome [6]life.Outcome // 0: another attempt follows
	}{
		{"", [6]life.Result{broke, fail, ok, fatal, over, fail}, [6]life.Outcome{0, 0, life.Completed, life.Died, life.Stopped, 0}},
		{"20s", [6]life.Result{broke, fail, late, late, late, late}, [6]life.Outcome{}},
		{"stop", [6]life.Result{broke, fail, ok, fatal, over, over}, stoppedAll},
		{"shutdown", [6]life.Result{broke, fail, ok, fatal, over, over}, stoppedAll},
		{"20s stop", [6]life.Result{broke, fail, late, late, late, late}, stoppedAll},
		{"19s stop 2s", [6]life.Result{broke, fail, ok, fatal, over, over}, stoppedAll}, // it disarms the deadline
		{"interrupt", [6]life.Result{broke, fail, over, fatal, over, over}, [6]life.Outcome{0, 0, 0, life.Died, life.Stopped, 0}},
		{"19s interrupt 2s", [6]life.Result{broke, fail, over, fatal, over, over}, [6]life.Outcome{0, 0, 0, life.Died, life.Stopped, 0}},
		{"20s interrupt", [6]life.Result{broke, fail, late, late, late, late}, [6]life.Outcome{}},
		{"interrupt stop", [6]life.Result{broke, fail, ok, fatal, over, over}, stoppedAll},
	} {
		for i, b := range bodies {
			m := life.New(&life.Policy{Retries: life.Unlimited, Timeout: 20 * time.Second, StuckAfter: time.Hour, Grace: time.Hour}, life.Added, false, false)
			drive(t, &m, "begin start "+tt.before)
			now := life.Time(30 * time.Second)
			if tt.before == "" {
				now = 2
			}
			streak := m.Streak()
			m.Returned(b.end, now, nil)
			if m.Result() != tt.results[i] || m.Count(m.Result()) != 1 {
				t.Errorf("%s after %q: result %d, want %d", b.name, tt.before, m.Result(), tt.results[i])
			}
			failed := map[life.Result]bool{fail: true, fatal: true, late: true, broke: true}[m.Result()]
			if m.Streak() != map[bool]int{true: streak + 1}[failed] {
				t.Errorf("%s after %q: streak %d", b.name, tt.before, m.Streak())
			}
			m.Settle(false, now)
			if over := m.Phase() == life.Gone; over != (tt.outcome[i] != 0) || over && m.Outcome() != tt.outcome[i] {
				t.Errorf("%s after %q: outcome %d, over %v, want %d", b.name, tt.before, m.Outcome(), over, tt.outcome[i])
			}
		}
	}
}

var stoppedAll = [6]life.Outcome{life.Stopped, life.Stopped, life.Stopped, life.Stopped, life.Stopped, life.Stopped}

// What follows success and failure, by policy; the delay is the one that is waited.
func TestPlanTable(t *testing.T) {
	const first, floor = 200 * time.Millisecond, time.Millisecond
	for _, tt := range []struct {
		name   string
		p      life.Policy
		end    life.Ending
		source life.Source // 0: none follows
		delay  time.Duration
	}{
		{"never, success", life.Policy{Restart: life.Never}, life.Ending{Kind: life.Success}, 0, 0},
		{"never, failure", life.Policy{Restart: life.Never, Retries: life.Unlimited}, life.Ending{Kind: life.Failure}, 0, 0},
		{"never asks for none", life.Policy{Restart: life.Never}, life.Ending{Kind: life.Failure, Asked: true, After: 1}, 0, 0},
		{"on failure, success", life.Policy{}, life.Ending{Kind: life.Success}, 0, 0},
		{"on failure, RunAfter", life.Policy{}, life.Ending{Kind: life.Success, Asked: true, After: time.Hour}, 0, 0},
		{"on failure, failure", life.Policy{Retries: 1}, life.Ending{Kind: life.Failure}, life.AfterFailure, first},
		{"no retries", life.Policy{}, life.Ending{Kind: life.Failure}, 0, 0},
		{"no retries, asked", life.Policy{}, life.Ending{Kind: life.Failure, Asked: true, After: time.Hour}, 0, 0},
		{"RetryAfter", life.Policy{Retries: 1}, life.Ending{Kind: life.Failure, Asked: true, After: 9 * time.Hour}, life.Requested, 9 * time.Hour},
		{"RetryAfter(0)", life.Policy{Retries: 1}, life.Ending{Kind: life.Failure, Asked: true}, life.Requested, floor},
		{"RetryAfter(0), no floor", life.Policy{Retries: 1, NoFloor: true}, life.Ending{Kind: life.Failure, Asked: true}, life.Requested, 0},
		{"panic asks", life.Policy{Retries: 1}, life.Ending{Kind: life.Panic, Asked: true, After: time.Hour}, life.Requested, time.Hour},
		{"always, success", life.Policy{Restart: life.Always, Interval: time.Minute}, life.Ending{Kind: life.Success}, life.AfterSuccess, time.Minute},
		{"always, at once", life.Policy{Restart: life.Always}, life.Ending{Kind: life.Success}, life.AfterSuccess, floor},
		{"always, at once, no floor", life.Policy{Restart: life.Always, NoFloor: true}, life.Ending{Kind: life.Success}, life.AfterSuccess, 0},
		{"always, RunAfter", life.Policy{Restart: life.Always, Interval: time.Minute}, life.Ending{Kind: life.Success, Asked: true, After: time.Second}, life.Requested, time.Second},
		{"always, failure", life.Policy{Restart: life.Always, Interval: time.Minute, Retries: life.Unlimited}, life.Ending{Kind: life.Failure}, life.AfterFailure, first},
		{"scheduled", life.Policy{Restart: life.Always, Scheduled: true}, life.Ending{Kind: life.Success, Next: 5 + life.Time(time.Hour)}, life.AfterSuccess, time.Hour},
		{"scheduled, no more", life.Policy{Restart: life.Always, Scheduled: true}, life.Ending{Kind: life.Success}, 0, 0},
	} {
		tt.p.Backoff = life.Backoff{First: first, Max: time.Minute, Factor: 2}
		m := life.New(&tt.p, life.Added, false, false)
		m.Announce(5)
		m.Launch(0, 5)
		m.Start(5)
		m.Returned(tt.end, 5, nil)
		source, planned := m.Planned()
		if planned != (tt.source != 0) || source != tt.source || planned && m.Delay() != tt.delay {
			t.Errorf("%s: source %d, planned %v, delay %v, want %d, %v", tt.name, source, planned, m.Delay(), tt.source, tt.delay)
		}
		m.Settle(false, 5)
		if want := life.Time(5).After(tt.delay); planned && m.Phase() == life.Delayed && m.DueAt() != want {
			t.Errorf("%s: due at %d, want %d", tt.name, m.DueAt(), want)
		}
	}
}

// The restart floor is counted from start to start: an attempt that took longer has
// paid it, and the delay is counted from the return, however long the brackets take.
func TestFloorAndCompletion(t *testing.T) {
	const us = time.Microsecond
	for _, tt := range []struct{ interval, ran, brackets, want time.Duration }{
		{0, 0, 0, 1000 * us},
		{0, 300 * us, 0, 700 * us},
		{0, 999 * us, 0, us},
		{0, 1000 * us, 0, 0},
		{0, time.Hour, 0, 0},
		{500 * us, 200 * us, 0, 800 * us},
		{500 * us, 600 * us, 0, 500 * us},
		{0, 300 * us, 400 * us, 700 * us},
		{time.Second, 0, 400 * us, time.Second},
	} {
		m := life.New(&life.Policy{Restart: life.Always, Interval: tt.interval}, life.Added, false, false)
		m.Announce(1)
		m.Launch(0, 1)
		m.Start(1)
		m.Returned(life.Ending{Kind: life.Success}, life.Time(1).After(tt.ran), nil)
		m.Settle(false, life.Time(1).After(tt.ran+tt.brackets))
		if m.Delay() != tt.want {
			t.Errorf("%+v: delay %v", tt, m.Delay())
		}
		if due := life.Time(1).After(tt.ran + tt.want); m.Phase() == life.Delayed && m.DueAt() != due {
			t.Errorf("%+v: due at %d, want %d", tt, m.DueAt(), due)
		}
	}
}

// Streaks: MaxRetries(n) is n+1 attempts, a success and a long attempt begin anew.
func TestStreakOfTheMachine(t *testing.T) {
	p := &life.Policy{Retries: 3, ResetAfter: time.Minute, Backoff: life.Backoff{First: time.Second, Max: time.Hour, Factor: 2}, Restart: life.Always}
	for _, tt := range []struct {
		ran     []time.Duration // of failing attempts; negative: it succeeds after that
		delays  []time.Duration
		attempt int // at the end; 0: it goes on
	}{
		{[]time.Duration{0, 0, 0, 0, 0}, []time.Duration{1, 2, 4}, 4},
		{[]time.Duration{0, 0, -1, 0, 0, 0, 0}, []time.Duration{1, 2, 0, 1, 2, 4}, 7},
		{[]time.Duration{0, 0, time.Minute, 0}, []time.Duration{1, 2, 4}, 4},
		{[]time.Duration{0, 0, time.Minute + 1, 0, 0, 0}, []time.Duration{1, 2, 1, 2, 4}, 6},
	} {
		m := life.New(p, life.Added, false, false)
		now := life.Time(1)
		m.Announce(now)
		m.Launch(0, now)
		var delays []time.Duration
		for _, ran := range tt.ran {
			if m.Phase() == life.Gone {
				break
			}
			m.Start(now)
			end := life.Ending{Kind: life.Failure}
			if ran < 0 {
				ran, end.Kind = 0, life.Success
			}
			now = now.After(ran)
			m.Returned(end, now, nil)
			m.Settle(false, now)
			if m.Phase() == life.Delayed {
				delays = append(delays, m.Delay().Truncate(time.Second)/time.Second)
				now = m.DueAt()
				m.Tick(now)
			}
		}
		if len(delays) != len(tt.delays) {
			t.Fatalf("%v: delays %v, want %v", tt.ran, delays, tt.delays)
		}
		for i := range delays {
			if delays[i] != tt.delays[i] {
				t.Errorf("%v: delays %v, want %v", tt.ran, delays, tt.delays)
			}
		}
		if m.Attempt() != tt.attempt || m.Phase() != life.Gone || m.Outcome() != life.Failed {
			t.Errorf("%v: attempt %d, outcome %d", tt.ran, m.Attempt(), m.Outcome())
		}
	}
}
