package alertlab_test

import (
	"context"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// submit hands in work for one slot; what is refused is refused.
func submit(p *alertlab.Process, name string, d time.Duration) {
	_, _ = p.Submit(context.Background(), taskvisor.Submission{Slot: "key", Task: taskvisor.Once(name, work(d))})
	alertlab.Tick()
}

var queueFull = alertlab.File{
	Name:    "AdmissionQueueFull",
	Comment: "Submissions that are refused because a queue is full, or that wait without end.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "three submissions for one slot and one place, twice",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithMaxQueue(1))
				l.Pass(7 * m)
				for _, name := range []string{"one", "two", "three"} {
					submit(p, name, 2*m)
				}
				l.Pass(20 * m)
				for _, name := range []string{"one", "two", "three"} {
					submit(p, name, 2*m)
				}
				l.Pass(20 * m)
			},
			Want: []fires{{Alert: "AdmissionQueueFull", From: 7*m + half, To: 31*m + half, Rest: 30,
				Summary:     "main turns submissions away",
				Description: "1 submissions to main on a:1 were rejected within 5 minutes because the queue of their slot was full."}},
		},
		{
			Name: "three submissions before the first scrape",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithMaxQueue(1))
				for _, name := range []string{"one", "two", "three"} {
					submit(p, name, 2*m)
				}
				l.Pass(20 * m)
			},
			Want: []fires{{Alert: "AdmissionQueueFull", From: half, To: 5 * m}},
		},
	},
}

var queueStalled = alertlab.File{
	Name:    "QueueStalled",
	Comment: "Submissions that wait without end.",
	Scenarios: []alertlab.Scenario{{
		Name: "a submission waits for a quarter of an hour, and another in vain, until the shutdown",
		Run: func(l *lab) {
			p := l.Start("a:1", taskvisor.WithGrace(20*time.Second))
			submit(p, "owner", 15*m)
			submit(p, "next", 40*m)
			l.Pass(20 * m)
			submit(p, "third", m)
			l.Pass(15 * m)
			p.Deploy()
		},
		Want: []fires{{Alert: "QueueStalled", From: 11*m + half, To: 35 * m, Rest: 32,
			Summary:     "A submission to main has waited for 11m 18s",
			Description: "The oldest submission to main on a:1 has waited 11m 18s for its slot, whose owner does not end."}},
	}},
}

// inTurn are tasks that share a limit of one.
func inTurn(name string, native bool, each time.Duration, want ...fires) alertlab.Scenario {
	return alertlab.Scenario{
		Name: name, Native: native, Want: want,
		Run: func(l *lab) {
			p := l.Start("a:1")
			limit := taskvisor.WithGate(taskvisor.NewLimit("database", 1))
			p.Add(taskvisor.Periodic("one", time.Second, work(each), limit), taskvisor.Periodic("two", time.Second, work(each), limit))
			l.Pass(40 * m)
		},
	}
}

// slowGate lets each attempt in after a time of its own.
type slowGate struct {
	name  string
	waits func(n int) time.Duration

	mu   sync.Mutex // guards the fields below
	n    int
	open bool
}

func (g *slowGate) Enter(_ taskvisor.Attempt, ready func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.open = false
		return true
	}
	g.n++
	time.AfterFunc(g.waits(g.n), func() {
		g.mu.Lock()
		g.open = true
		g.mu.Unlock()
		ready()
	})
	return false
}

func (*slowGate) Leave(taskvisor.Attempt) {}

func (g *slowGate) String() string { return g.name }

// slowly is a task at a gate where one attempt in so many waits for long.
func slowly(name, gate string, native bool, in int, want ...fires) alertlab.Scenario {
	return alertlab.Scenario{
		Name: name, Native: native, Want: want,
		Run: func(l *lab) {
			door := &slowGate{name: gate, waits: func(n int) time.Duration {
				if n%in == 0 {
					return 3 * m
				}
				return 5 * time.Second
			}}
			l.Start("a:1").Add(taskvisor.Periodic("probe", 10*time.Second, work(0), taskvisor.WithGate(door)))
			l.Pass(h)
		},
	}
}

func withForm(name string, native bool) string {
	if native {
		name += ", native histograms"
	}
	return name
}

// starved is a limit that has let in one after the other, until one stays for hours.
func starved(native bool) alertlab.Scenario {
	return alertlab.Scenario{
		Name: withForm("a limit is taken for hours by one, and then free", native), Native: native,
		Run: func(l *lab) {
			p := l.Start("a:1")
			limit := taskvisor.WithGate(taskvisor.NewLimit("database", 1))
			l.Pass(h)
			p.Add(taskvisor.Once("first", work(40*time.Second), limit), taskvisor.Once("long", work(2*h), limit))
			l.Pass(10 * m)
			p.Add(taskvisor.Once("short", work(m), limit))
			l.Pass(3 * h)
		},
		Want: []fires{
			{Alert: "TaskNotSucceeding", Labels: task("short"), From: 90*m + half, To: 180*m + half},
			{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 90*m + half, To: 195 * m},
		},
	}
}

// brief is a limit at which one attempt waits, once.
func brief(native bool) alertlab.Scenario {
	return alertlab.Scenario{
		Name: withForm("one that waits for two minutes", native), Native: native,
		Run: func(l *lab) {
			p := l.Start("a:1")
			limit := taskvisor.WithGate(taskvisor.NewLimit("database", 1))
			p.Add(taskvisor.Once("long", work(2*m), limit))
			p.Add(taskvisor.Once("short", work(m), limit))
			l.Pass(40 * m)
		},
	}
}

var gateSaturated = alertlab.File{
	Name:    "GateSaturated",
	Comment: "Tasks that wait at a gate for long.",
	Scenarios: []alertlab.Scenario{
		inTurn("two tasks take turns, each for a minute and a half", false, 90*time.Second,
			fires{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 17 * m, To: 40 * m,
				Summary:     "Gate database of main is saturated",
				Description: "Attempts of main on a:1 wait for more than a minute at database, or are not let in at all."}),
		inTurn("two tasks take turns, each for a minute and a half, native histograms", true, 90*time.Second,
			fires{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 17 * m, To: 40 * m}),
		inTurn("two tasks take turns, each for less than a minute", false, 50*time.Second),
		inTurn("two tasks take turns, each for less than a minute, native histograms", true, 50*time.Second),
		inTurn("two tasks take turns, each for a quarter of an hour", false, 14*m,
			fires{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 29*m + half, To: 40 * m}),
		inTurn("two tasks take turns, each for a quarter of an hour, native histograms", true, 14*m,
			fires{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 29*m + half, To: 40 * m}),
		inTurn("two tasks take turns, each for little more than a minute, native histograms", true, 64*time.Second,
			fires{Alert: "GateSaturated", Labels: labels{"gate": "database"}, From: 16*m + half, To: 40 * m}),
		starved(false), starved(true),
		slowly("one in five waits for three minutes", "door", false, 5, fires{Alert: "GateSaturated", Labels: labels{"gate": "door"}, From: 19*m + half, To: h}),
		slowly("one in five waits for three minutes, native histograms", "door", true, 5, fires{Alert: "GateSaturated", Labels: labels{"gate": "door"}, From: 19*m + half, To: h}),
		slowly("one in twenty waits for three minutes", "door", false, 20),
		slowly("a lease changes hands all the time", "lease report", false, 1),
		slowly("a lease changes hands all the time, native histograms", "lease report", true, 1),
		brief(false), brief(true),
	},
}

// clogged is a subscriber that does not come back until it is told.
type clogged struct{ free <-chan struct{} }

func (c clogged) OnEvent(context.Context, taskvisor.Event) { <-c.free }

var eventsDropped = alertlab.File{
	Name:    "EventsDropped",
	Comment: "Subscribers that lose events, panic, or fail.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a subscriber stands still from the start, and little happens any more",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithSubscriber(clogged{l.Done()}, taskvisor.WithName("log"), taskvisor.Queued(2)))
				p.Add(taskvisor.Restartable("idle", hang), taskvisor.Restartable("idle too", hang))
				l.Pass(10 * m)
				p.Add(taskvisor.Restartable("one more", hang))
				l.Pass(6 * m)
				p.Add(taskvisor.Restartable("yet another", hang))
				l.Pass(10 * m)
			},
			Want: []fires{{Alert: "EventsDropped", Labels: labels{"subscriber": "log"}, From: half, To: 20*m + half, Rest: 12}},
		},
		{
			Name: "a subscriber stands still for a while",
			Run: func(l *lab) {
				p := l.Start("a:1", taskvisor.WithSubscriber(clogged{l.Done()}, taskvisor.WithName("log"), taskvisor.Queued(8)))
				p.Add(taskvisor.Restartable("idle", hang))
				l.Pass(7 * m)
				p.Add(taskvisor.Periodic("probe", time.Second, plan(func(n int) (time.Duration, error) {
					if n > 4 {
						return 10 * h, nil
					}
					return 0, nil
				})))
				l.Pass(20 * m)
			},
			Want: []fires{{Alert: "EventsDropped", Labels: labels{"subscriber": "log"}, From: 7*m + half, To: 12 * m,
				Summary:     "Subscriber log loses events",
				Description: "log of main on a:1 lost 5 events within 5 minutes: what it writes has gaps. Metrics and spans have none."}},
		},
	},
}

var subscriberFailing = alertlab.File{
	Name:    "SubscriberFailing",
	Comment: "Subscribers that panic or fail.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "one panics and later another fails",
			Run: func(l *lab) {
				begun := time.Now()
				between := func(from, to time.Duration) bool { return time.Since(begun) > from && time.Since(begun) < to }
				p := l.Start("a:1",
					taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) {
						if between(10*m+half, 11*m+half) {
							panic("broken")
						}
					}), taskvisor.WithName("audit")),
					taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
						if between(30*m+half, 31*m+half) && e.Kind == taskvisor.TaskStarting {
							e.ReportFailure(errWork)
						}
					}), taskvisor.WithName("log")))
				p.Add(taskvisor.Periodic("probe", m, work(0)))
				l.Pass(50 * m)
			},
			Want: []fires{
				{Alert: "SubscriberFailing", Labels: labels{"subscriber": "audit"}, From: 11*m + half, To: 20*m + half,
					Summary:     "Subscriber audit panics or fails",
					Description: "audit of main on a:1 panicked at, or could not deal with, 6 events within 10 minutes: they are missing where it writes."},
				{Alert: "SubscriberFailing", Labels: labels{"subscriber": "log"}, From: 31*m + half, To: 40*m + half},
			},
		},
	},
}
