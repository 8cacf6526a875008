package promsub

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// overflow is the label that tasks beyond the limit share.
const overflow = "_other"

const (
	resultCount  = int(taskvisor.ResultCanceled) + 1
	sourceCount  = int(taskvisor.BackoffTriggered) + 1
	outcomeCount = int(taskvisor.OutcomeAbandoned) + 1
)

// early is how long before its first value a task's series says that it was created.
// A scrape has the time at which the server asked for it: what came while it was being
// answered is older than its creation, for a reader, unless that lies further back.
const early = 10 * time.Second

// series is what is counted for one value of the label task. The counters are bare
// numbers until a scrape asks: a task that is added pays for one allocation, not for
// ten metrics.
type series struct {
	label    string
	created  *timestamppb.Timestamp     // when counting began, for those who ask how a counter came to its first value
	attempts [resultCount]atomic.Uint64 // index 0 is unused, here and below
	restarts [sourceCount]atomic.Uint64
	gaveUp   [outcomeCount]atomic.Uint64
	backoff  atomic.Int64 // nanoseconds of delays that have ended
	timers   [resultCount]atomic.Pointer[timer]

	// Of scrapes alone, guarded by the source's scraping.
	pair         *dto.LabelPair // of the label; nil before the first
	row          int            // in the latest one, if it is there
	backoffEnded time.Duration  // backoff, before the latest one looked at the tasks
	backoffShown time.Duration  // what the latest one said: a counter never goes back
}

// label is a value of the label task that somebody asked for, whether it has series of
// its own or counts in those of the shared one. Tasks hold it.
type label struct {
	text    string
	counted atomic.Pointer[series] // where its tasks count now

	// Guarded by the mutex of the labelSet.
	own     *series   // nil while it has none; still exported for two scrapes after it lost them
	left    int       // scrapes since it lost them; 0 while it counts in them
	holders int       // tasks with this label
	idle    time.Time // when the last of them left
	scrapes int       // since then
	since   time.Time // since when it has its series
	seen    uint64    // attempts at the latest scrape
	pace    float64   // attempts between scrapes, older ones counting less
	failing bool      // a task of it fails

	found sighting // by the scrape that is going on; guarded by the source's scraping
}

// sighting is what a scrape finds the tasks of a label doing.
type sighting struct {
	tasks    int
	attempts uint64 // that have ended
	failing  bool
}

func (f *sighting) add(t *taskvisor.TaskStatus) {
	r := &t.Results
	f.tasks++
	f.attempts += r.Success + r.Failure + r.Fatal + r.Timeout + r.Panic + r.Canceled
	f.failing = f.failing || t.Streak > 0
}

// labelSet holds the labels in use and those in their grace.
type labelSet struct {
	mu     sync.Mutex // guards the fields below and those of each label that say so
	max    int        // labels with series of their own
	grace  time.Duration
	begin  time.Time // nothing was counted before
	byText map[string]*label
	owners int    // labels with series of their own, beside the shared one
	shared *label // what those without count in; nil before the first
}

// hold returns the label for a text and keeps it until it is released.
func (ls *labelSet) hold(text string, now time.Time) *label {
	text = strings.ToValidUTF8(text, "\uFFFD")
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.getLocked(text, now)
	l.holders++
	return l
}

// getLocked returns the label for a text, made if it is not there.
func (ls *labelSet) getLocked(text string, now time.Time) *label {
	if text == "" || text == overflow {
		return ls.sharedLocked(now)
	}
	l := ls.byText[text]
	if l == nil {
		l = &label{text: text, idle: now}
		ls.byText[text] = l
		if ls.owners < ls.max {
			ls.promoteLocked(l, now)
		} else {
			l.counted.Store(ls.sharedLocked(now).own)
		}
	}
	return l
}

func (ls *labelSet) sharedLocked(now time.Time) *label {
	if ls.shared == nil {
		ls.shared = &label{text: overflow, idle: now, own: ls.newSeriesLocked(overflow, now)}
		ls.shared.counted.Store(ls.shared.own)
		ls.byText[overflow] = ls.shared
	}
	return ls.shared
}

func (ls *labelSet) newSeriesLocked(text string, now time.Time) *series {
	created := now.Add(-early)
	if created.Before(ls.begin) {
		created = ls.begin
	}
	return &series{label: text, created: timestamppb.New(created)}
}

// promoteLocked gives a label series of its own.
func (ls *labelSet) promoteLocked(l *label, now time.Time) {
	if l.own == nil {
		l.own = ls.newSeriesLocked(l.text, now)
	}
	l.left, l.since = 0, now
	l.counted.Store(l.own)
	ls.owners++
}

// demoteLocked lets a label count in the shared series from now on. Its own are sent
// twice more: somebody may be about to add to them.
func (ls *labelSet) demoteLocked(l *label, now time.Time) {
	l.counted.Store(ls.sharedLocked(now).own)
	l.left = 1
	ls.owners--
}

// release undoes one hold. The grace of the series begins with the last.
func (ls *labelSet) release(l *label, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.holders > 0 {
		l.holders--
	}
	ls.idleLocked(l, now)
}

// idleLocked notes that a task has let go of a label. One without series of its own has
// nothing to show, and is forgotten with its last task: what it counted is the shared
// one's, whose grace begins anew.
func (ls *labelSet) idleLocked(l *label, now time.Time) {
	l.idle, l.scrapes = now, 0
	if s := ls.shared; s != nil && l.counted.Load() == s.own {
		s.idle, s.scrapes = now, 0
	}
	if l.own == nil && l.holders == 0 && ls.byText[l.text] == l {
		delete(ls.byText, l.text)
	}
}

// adopt makes the labels those of a new supervisor: the tasks of the one before, which
// has ended, hold them no more.
func (ls *labelSet) adopt(max int, grace time.Duration, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.max, ls.grace = max, grace
	for _, l := range ls.byText {
		if l.holders > 0 {
			l.holders = 0
			ls.idleLocked(l, now)
		}
	}
}

// scrape lets go of what has had its grace and returns the series of the rest. That
// scrapes do it is what makes it need no goroutine, and what no scrape reads is bounded
// by the limit of labels and the tasks that there are.
func (ls *labelSet) scrape(now time.Time) []*series {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.rebalanceLocked(now)
	all := make([]*series, 0, ls.owners+1)
	for text, l := range ls.byText {
		switch {
		case l.left > 2:
			l.own, l.left = nil, 0
			ls.begin = now // what comes under that label again begins later
		case l.left > 0:
			l.left++
		}
		if l.holders == 0 && ls.overLocked(l, now) {
			ls.forgetLocked(text, l, now)
			continue
		}
		l.scrapes++
		if l.own != nil {
			all = append(all, l.own)
		}
	}
	return all
}

// overLocked reports whether nothing keeps a label that no task holds. One without
// series has nothing to show; the shared one stays as long as others count in it.
func (ls *labelSet) overLocked(l *label, now time.Time) bool {
	if l.own == nil {
		return true
	}
	if l == ls.shared && ls.owners+1 < len(ls.byText) {
		return false
	}
	return l.scrapes >= 2 && now.Sub(l.idle) >= ls.grace
}

func (ls *labelSet) forgetLocked(text string, l *label, now time.Time) {
	delete(ls.byText, text)
	switch {
	case l == ls.shared:
		ls.shared = nil
	case l.own != nil && l.left == 0:
		ls.owners--
	}
	if l.own != nil {
		ls.begin = now
	}
}

// get returns the label for a text as a scrape finds it, before an event has asked for
// it or after the last has let go.
func (ls *labelSet) get(text string, now time.Time) *label {
	text = strings.ToValidUTF8(text, "\uFFFD")
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.getLocked(text, now)
}

// backoffs notes the time in backoff of each series, as far as it has ended.
func (ls *labelSet) backoffs() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.byText {
		if l.own != nil {
			l.own.backoffEnded = time.Duration(l.own.backoff.Load())
		}
	}
}
