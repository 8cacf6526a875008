package promsub

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// overflow is the label that tasks beyond the limit share.
const overflow = "_other"

const (
	resultCount = int(taskvisor.ResultCanceled) + 1
	sourceCount = int(taskvisor.BackoffRequested) + 1
)

// series is what is counted for one value of the label task. Tasks hold it;
// when it is let go after its grace, everything that belongs to the label goes
// with it, since nothing else keeps any of it. The counters are bare numbers
// until a scrape asks: a task that is added pays for one allocation, not for
// ten metrics.
type series struct {
	label    string
	created  *timestamppb.Timestamp     // when counting began, for those who ask how a counter came to its first value
	attempts [resultCount]atomic.Uint64 // index 0 is unused, here and below
	restarts [sourceCount]atomic.Uint64
	backoff  atomic.Int64 // nanoseconds
	timers   [resultCount]atomic.Pointer[timer]
	pairs    atomic.Pointer[taskPairs] // nil before the first scrape

	// Guarded by the mutex of the seriesSet.
	holders int       // tasks with this label
	idle    time.Time // when the last of them left
	scrapes int       // since then
}

// seriesSet holds the labels in use and those in their grace.
type seriesSet struct {
	max   int
	grace time.Duration

	mu      sync.Mutex // guards the fields below and those of each series that say so
	byLabel map[string]*series
}

// hold returns the series for a label, or the shared one if there are too many
// labels, and keeps it until it is released.
func (ss *seriesSet) hold(label string, now time.Time) *series {
	label = strings.ToValidUTF8(label, "\uFFFD")
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.byLabel[label]
	if s == nil && (label == "" || label != overflow && ss.ownLabelsLocked() >= ss.max) {
		label = overflow
		s = ss.byLabel[label]
	}
	if s == nil {
		s = &series{label: label, created: timestamppb.New(now)}
		ss.byLabel[label] = s
	}
	s.holders++
	return s
}

// ownLabelsLocked is how many labels there are beside the shared one.
func (ss *seriesSet) ownLabelsLocked() int {
	if ss.byLabel[overflow] != nil {
		return len(ss.byLabel) - 1
	}
	return len(ss.byLabel)
}

// release undoes one hold. The grace of the series begins with the last.
func (ss *seriesSet) release(s *series, now time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.holders--
	s.idle, s.scrapes = now, 0
}

// scrape lets go of what has had its grace and returns the rest. That scrapes
// do it is what makes it need no goroutine, and what no scrape reads is bounded
// by the limit of labels.
func (ss *seriesSet) scrape(now time.Time) []*series {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	all := make([]*series, 0, len(ss.byLabel))
	for label, s := range ss.byLabel {
		if s.holders == 0 && s.scrapes >= 2 && now.Sub(s.idle) >= ss.grace {
			delete(ss.byLabel, label)
			continue
		}
		s.scrapes++
		all = append(all, s)
	}
	return all
}
