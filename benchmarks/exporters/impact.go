package exporters

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Impact is what scrapes do to a task that runs attempts without pause, beside
// many that wait.
type Impact struct {
	Tasks       int
	Every       string  // between the scrapes
	Scrapes     int     // within the time
	PerSecond   float64 // attempts
	LongestGap  float64 // between two attempts, milliseconds
	ScrapeTook  float64 // mean, milliseconds
	LostPercent float64 // attempts, against none
}

// Impacts measures a window of d each: without scrapes, one per second, and one
// after the other without a pause.
func Impacts(tasks int, d time.Duration) ([]Impact, error) {
	var out []Impact
	for _, every := range []time.Duration{-1, time.Second, 0} {
		i, err := impact(tasks, d, every)
		if err != nil {
			return nil, err
		}
		if len(out) > 0 {
			i.LostPercent = 100 * (1 - i.PerSecond/out[0].PerSecond)
		}
		out = append(out, i)
	}
	return out, nil
}

func impact(tasks int, d, every time.Duration) (Impact, error) {
	s, err := newScraped(tasks)
	if err != nil {
		return Impact{}, err
	}
	r := Impact{Tasks: tasks, Every: every.String()}
	if every < 0 {
		r.Every = "never"
	}
	attempts := 0
	var last time.Time
	var gap time.Duration
	began := time.Now()
	until := began.Add(d)
	h, err := s.sup.Add(context.Background(), taskvisor.Periodic("loop", 0, func(context.Context) error {
		now := time.Now()
		if attempts++; !last.IsZero() {
			gap = max(gap, now.Sub(last))
		}
		if last = now; now.After(until) {
			return taskvisor.ErrCanceled
		}
		return nil
	}, taskvisor.WithoutRestartFloor()))
	if err != nil {
		return r, errors.Join(err, s.close())
	}
	var took time.Duration
	for next := began; every >= 0 && time.Now().Before(until); {
		at := time.Now()
		if _, err := s.scrape("text/plain", "gzip"); err != nil {
			return r, errors.Join(err, s.close())
		}
		took += time.Since(at)
		r.Scrapes++
		next = next.Add(every)
		time.Sleep(min(time.Until(next), time.Until(until)))
	}
	if _, err := h.Wait(context.Background()); err != nil {
		return r, errors.Join(err, s.close())
	}
	r.PerSecond = float64(attempts) / last.Sub(began).Seconds()
	r.LongestGap = float64(gap) / 1e6
	if r.Scrapes > 0 {
		r.ScrapeTook = float64(took) / 1e6 / float64(r.Scrapes)
	}
	return r, s.close()
}
