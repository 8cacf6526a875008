package otelsub

import (
	"maps"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// totals are counters that supervisors keep themselves, each from its own beginning: of
// subscribers, by name, without what is no counter. They are fixed when made.
type totals map[string]taskvisor.SubscriberStatus

// plus returns the sum of what was counted before and what s says.
func (t totals) plus(s *taskvisor.Snapshot) totals {
	all := make(totals, len(t)+len(s.Subscribers))
	maps.Copy(all, t)
	for _, n := range s.Subscribers {
		sum := all[n.Name]
		sum.Delivered += n.Delivered
		sum.Panics += n.Panics
		sum.Failures += n.Failures
		if len(n.Dropped) > 0 {
			lost := make(map[taskvisor.EventKind]uint64, len(n.Dropped))
			maps.Copy(lost, sum.Dropped)
			for k, more := range n.Dropped {
				lost[k] += more
			}
			sum.Dropped = lost
		}
		all[n.Name] = sum
	}
	return all
}

// maxUnread bounds the labels that nobody has collected. Beyond it the first is lost.
const maxUnread = 1000

// spending is what tasks have spent in backoff, by their label, of all supervisors of one
// name. The zero value is ready.
type spending struct {
	mu     sync.Mutex // guards the fields below
	labels map[string]*timeSpent
	unread []string // of these, that have not been reported
}

// timeSpent is that of one label.
type timeSpent struct {
	ended time.Duration // in backoffs that are over
	shown time.Duration // at the last collection
	alone int           // collections since there was a task of that label, or news
}

func (s *spending) add(label string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.labels[label] == nil {
		if s.unread = append(s.unread, label); len(s.unread) > maxUnread {
			delete(s.labels, s.unread[0])
			s.unread = s.unread[1:]
		}
	}
	s.getLocked(label).ended += d
}

func (s *spending) getLocked(label string) *timeSpent {
	t := s.labels[label]
	if t == nil {
		if s.labels == nil {
			s.labels = make(map[string]*timeSpent)
		}
		t = new(timeSpent)
		s.labels[label] = t
	}
	return t
}

// over returns the time of the backoffs that are over.
func (s *spending) over() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]time.Duration, len(s.labels))
	for label, t := range s.labels {
		all[label] = t.ended
	}
	return all
}

// lastReports is how often the last state of something is reported: of two readers that
// collect in turn each sees it. The next collection leaves it out, and forgets it. What
// comes back before that goes on; a counter that was missing begins anew.
const lastReports = 2

// show returns what to report of each label, which never goes back. Names may be many:
// labels without tasks are forgotten.
func (s *spending) show(groups map[string]*group, over map[string]time.Duration) map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = nil
	all := make(map[string]time.Duration, len(groups))
	for label, g := range groups {
		t := s.getLocked(label)
		t.shown, t.alone = max(t.shown, over[label]+g.backoff), 0
		all[label] = t.shown
	}
	for label, t := range s.labels {
		if groups[label] != nil {
			continue
		}
		if t.ended > t.shown {
			t.shown, t.alone = t.ended, 0
		}
		if t.alone == lastReports {
			delete(s.labels, label)
			continue
		}
		t.alone++
		all[label] = t.shown
	}
	return all
}
