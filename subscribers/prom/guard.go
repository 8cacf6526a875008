package promsub

import (
	"cmp"
	"slices"
	"time"
)

const (
	// tenure is how long a label keeps the series that it got, and again when its last
	// task is gone: counters that come and go tell nobody anything.
	tenure = 2 * time.Minute
	// lead is how many times as busy as the one that it displaces a label must be.
	lead = 2
	// fade is what counts of the pace of attempts one scrape later.
	fade = 0.5
)

// pace notes what the tasks of each label do, as the scrape has found it: how many
// attempts have ended since they were added, and whether one of them fails.
func (ls *labelSet) pace() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.byText {
		found := l.found
		l.found = sighting{}
		l.failing = found.failing
		fresh := uint64(0) // fewer than before: one of its tasks is gone
		if found.attempts > l.seen {
			fresh = found.attempts - l.seen
		}
		l.pace, l.seen = l.pace*fade+float64(fresh), found.attempts
	}
}

// rebalanceLocked gives the series that there may be to those who need them most, where
// there are more labels than that: first the failing, then the busy. Few change hands
// at a time, and none that has not had its time.
func (ls *labelSet) rebalanceLocked(now time.Time) {
	if ls.shared == nil || ls.max == 0 {
		return
	}
	var having []*label
	var least *label // of those, who needs it least
	for _, l := range ls.byText {
		if l != ls.shared && l.counted.Load() == l.own && l.servedLocked(now) {
			having = append(having, l)
			if least == nil || needs(l, least) < 0 {
				least = l
			}
		}
	}
	free := ls.owners < ls.max
	if !free && least == nil {
		return
	}
	var waiting []*label
	for _, l := range ls.byText {
		if l != ls.shared && l.counted.Load() != l.own && l.holders > 0 && (free || worth(l, least)) {
			waiting = append(waiting, l)
		}
	}
	if len(waiting) == 0 {
		return
	}
	slices.SortFunc(waiting, func(a, b *label) int { return -needs(a, b) })
	slices.SortFunc(having, needs)
	for ls.owners < ls.max && len(waiting) > 0 {
		ls.promoteLocked(waiting[0], now)
		waiting = waiting[1:]
	}
	for i := range min(len(waiting), len(having), max(1, ls.max/20)) {
		if !worth(waiting[i], having[i]) {
			return
		}
		ls.demoteLocked(having[i], now)
		ls.promoteLocked(waiting[i], now)
	}
}

// servedLocked reports whether a label has had its series for long enough: one without
// tasks since the last of them left, and for two scrapes.
func (l *label) servedLocked(now time.Time) bool {
	if l.holders == 0 {
		return l.scrapes >= 2 && now.Sub(l.idle) >= tenure
	}
	return now.Sub(l.since) >= tenure
}

// needs compares how much two labels need series of their own. Names break ties, so
// that two scrapes of the same decide alike.
func needs(a, b *label) int {
	return cmp.Or(rank(a)-rank(b), cmp.Compare(a.pace, b.pace), cmp.Compare(b.text, a.text))
}

func rank(l *label) int {
	switch {
	case l.failing:
		return 2
	case l.holders > 0:
		return 1
	default:
		return 0
	}
}

// worth reports whether one label needs another's series so much more that they should
// change hands.
func worth(l, than *label) bool {
	if rank(l) != rank(than) {
		return rank(l) > rank(than)
	}
	return l.pace > lead*than.pace+1
}
