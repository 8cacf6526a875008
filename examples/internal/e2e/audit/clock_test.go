package main

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// TestStallsExcuse: what is late is excused by a stall of the machine at that time, by
// three times its length, and by none at another time.
func TestStallsExcuse(t *testing.T) {
	for _, c := range []struct {
		name   string
		late   time.Duration
		stalls []time.Duration // from when the next attempt is due, and how long, in turn
		fine   bool
	}{
		{"as late as on a quiet machine", 5 * ms, nil, true},
		{"late", 60 * ms, nil, false},
		{"late in a stall", 60 * ms, []time.Duration{-5 * ms, 20 * ms}, true},
		{"later than a stall explains", 90 * ms, []time.Duration{-5 * ms, 20 * ms}, false},
		{"late in a stall that begins within the first", 90 * ms, []time.Duration{-5 * ms, 10 * ms, 30 * ms, 30 * ms}, true},
		{"late before a stall", 60 * ms, []time.Duration{70 * ms, 50 * ms}, false},
		{"late behind a stall", 60 * ms, []time.Duration{-60 * ms, 40 * ms}, false},
	} {
		f := goodBook().facts()
		task := named(f, "flaky")
		due := task.Attempts[0].Closed.Add(brief + task.Next(0).Most)
		for i := 0; i < len(c.stalls); i += 2 {
			from := due.Add(c.stalls[i])
			f.book.Stalls = append(f.book.Stalls, ledger.Stall{From: from, To: from.Add(c.stalls[i+1]), Lost: c.stalls[i+1]})
		}
		task.Attempts[1].Waited = task.Next(0).Most + brief + c.late
		if err := delays(f); (err == nil) != c.fine {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestReadings: a scrape is the reading that it names, which need not be the one of its
// place, and need not be over when the ledger is closed.
func TestReadings(t *testing.T) {
	reading := func(from, to time.Duration) ledger.Reading {
		return ledger.Reading{Began: epoch.Add(from), Ended: epoch.Add(to)}
	}
	second, third := reading(time.Second, 1020*ms), ledger.Reading{Began: epoch.Add(2 * time.Second)}
	f := &facts{book: ledger.Book{Readings: []ledger.Reading{reading(0, 20*ms), second, third}}}
	f.series = map[string][]ask.Series{readingMetric: {{Points: []ask.Point{
		{At: epoch.Add(time.Second), Value: 2}, {At: epoch.Add(2 * time.Second), Value: 3}, {At: epoch.Add(3 * time.Second), Value: 4},
	}}}}
	if got := f.readings(); len(got) != 1 || got[0].at != epoch.Add(time.Second) || got[0].Reading != second {
		t.Errorf("%v", got)
	}
}

// TestSince: nothing can have been due before, and still happen at that time.
func TestSince(t *testing.T) {
	f := &facts{}
	for _, s := range [][2]time.Duration{{-200, -150}, {-90, -60}, {-3, 4}, {20, 60}} {
		f.book.Stalls = append(f.book.Stalls, ledger.Stall{From: epoch.Add(s[0] * ms), To: epoch.Add(s[1] * ms), Lost: (s[1] - s[0]) * ms})
	}
	since := f.since(epoch)
	if want := epoch.Add(-brief - wakings*50*ms); !since.Equal(want) { // the longest that reaches so far
		t.Errorf("since %s, want %s", since.Sub(epoch), want.Sub(epoch))
	}
	for due := since.Add(-time.Second); due.Before(since); due = due.Add(ms) {
		if by := f.by(due); !by.Before(epoch) {
			t.Errorf("due at %s, by %s", due.Sub(epoch), by.Sub(epoch))
		}
	}
}
