package life_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// twins are a machine and the contract's opinion about it, given the same calls.
type twins struct {
	m   life.Machine
	c   contract
	now int // the machine's 0 means "never", so it begins at 1

	asked     int // attempt whose stacks are being read; 0: none
	added     bool
	starts    int
	ends      int
	leaves    int
	lastStart int
}

func newTwins(r *rules, p *life.Policy, phase life.Phase) *twins {
	w := &twins{now: 1, c: contract{rules: r, where: "added", paused: r.paused}}
	if phase == life.Queued {
		w.c.where = "queued"
	}
	w.m = life.New(p, phase, r.gated, r.paused)
	return w
}

func at(n int) life.Time {
	if n == 0 {
		return 0
	}
	return life.Time(n) * life.Time(unit)
}

// span is a duration of n units.
func span(n int) time.Duration { return time.Duration(n) * unit }

func (w *twins) at() life.Time { return at(w.now) }

var eventWords = []struct {
	bit  life.Effects
	word string
}{
	{life.EventAdded, "A"}, {life.EventRequested, "Q"}, {life.EventTriggered, "!"}, {life.EventInterrupted, "I"},
	{life.EventPaused, "‖"}, {life.EventResumed, "▶"}, {life.EventReady, "r"}, {life.EventStarting, "S"},
	{life.EventTimeout, "T"}, {life.EventStuck, "K"}, {life.EventEnded, ""}, {life.EventRecovered, "+"}, {life.EventReturned, "R"},
	{life.EventReleased, "Y"}, {life.EventExhausted, "E"}, {life.EventDead, "X"}, {life.EventBackoff, "B"},
}

var actWords = []struct {
	bit  life.Effects
	word string
}{
	{life.Cancel, "cancel"}, {life.Run, "run"}, {life.Call, "call"}, {life.Abort, "abort"}, {life.Enter, "enter"},
	{life.Quit, "quit"}, {life.Leave, "leave"}, {life.Stuck, "stuck"}, {life.Abandon, "abandon"}, {life.Back, "back"},
	{life.Changed, "changed"},
}

// wording names a machine's effects as the contract does. The order of the bits is the
// order in which the owner publishes the events.
func wording(m *life.Machine, e life.Effects) string {
	events, acts := "", []string{}
	known := life.Effects(0)
	for _, x := range eventWords {
		known |= x.bit
		if e&x.bit == 0 {
			continue
		}
		if x.word == "" {
			x.word = terminals[m.Result()]
		}
		events += " " + x.word
	}
	for _, x := range actWords {
		known |= x.bit
		if e&x.bit != 0 {
			acts = append(acts, x.word)
		}
	}
	if e&^known != 0 {
		acts = append(acts, fmt.Sprintf("unknown %b", e&^known))
	}
	return said(events, acts...)
}

// step gives both the same call, and returns where they differ; "" if they agree.
func (w *twins) step(in call) string {
	state, before := w.c.state(), w.c
	e, got, want := in.do(w)
	// The time of the state moves with the state; let in and started it moves as well.
	if w.c.state() != state || before.where == "added" && w.c.where != "added" {
		w.c.since = w.now
	}
	w.c.wasReady = w.c.wasReady || w.c.isReady()
	if got != want {
		return fmt.Sprintf("it says %q, want %q", got, want)
	}
	if fault := w.laws(e, before.stop != 0 && in.name != "announced"); fault != "" {
		return fault
	}
	if fault := w.compare(); fault != "" {
		return fault
	}
	return w.compareNext()
}

// laws hold whatever the model says.
func (w *twins) laws(e life.Effects, stopped bool) string {
	const follow = life.EventStarting | life.Call | life.Run | life.Enter | life.EventBackoff | life.EventExhausted | life.EventDead
	if stopped && e&follow != 0 {
		return "after a stop, something follows: " + wording(&w.m, e)
	}
	if w.added = w.added || e&life.EventAdded != 0; e&life.Events != 0 && !w.added {
		return "before it is added: " + wording(&w.m, e)
	}
	if w.leaves > 0 && e&life.Events&^life.EventReleased != 0 {
		return "after it has left: " + wording(&w.m, e)
	}
	if e&life.EventStarting != 0 {
		w.starts++
		if w.starts > 1 && !w.c.rules.noFloor && w.now-w.lastStart < floor {
			return fmt.Sprintf("%d units between two starts", w.now-w.lastStart)
		}
		w.lastStart = w.now
	}
	if e&(life.EventEnded|life.EventReleased) != 0 {
		w.ends++
	}
	if e&life.Leave != 0 {
		w.leaves++
	}
	if w.ends > w.starts || w.starts > w.ends+1 || w.leaves > 1 {
		return fmt.Sprintf("%d starts, %d ends, %d leaves", w.starts, w.ends, w.leaves)
	}
	if w.m.Phase() == life.Gone && w.c.where == "gone" && (w.leaves != 1 || w.starts != w.ends) && w.c.outcome != life.Rejected {
		return fmt.Sprintf("gone after %d starts, %d ends, %d leaves", w.starts, w.ends, w.leaves)
	}
	return ""
}

var causes = map[string]life.CanceledBy{"": life.ByNothing, "deadline": life.ByDeadline, "stop": life.ByStop,
	"interrupt": life.ByInterrupt, "child": life.ByChild, "end": life.ByEnd}

var phases = map[string]life.Phase{"queued": life.Queued, "added": life.Added, "held": life.Held, "delay": life.Delayed,
	"due": life.Due, "begun": life.Begun, "undone": life.Begun, "body": life.Active, "ending": life.Ended, "aborting": life.Ended, "gone": life.Gone}

// compare looks at everything that others can see.
func (w *twins) compare() string {
	m, c := &w.m, &w.c
	attempted := c.attempts > 0 && !slices.Contains([]string{"begun", "undone", "body", "aborting"}, c.where)
	inAttempt := slices.Contains([]string{"begun", "undone", "body", "ending"}, c.where)
	due := map[string]int{"delay": c.due, "due": c.due}[c.where]
	if c.where == "body" || c.atWork() && c.stop != 0 {
		if due = c.deadline; c.stop != 0 {
			due = c.grace
		}
	}
	source, planned := m.Planned()
	for _, x := range []struct {
		what      string
		got, want any
		skip      bool
	}{
		{"phase", m.Phase(), phases[c.where], false},
		{"state", m.State(), c.state(), false},
		{"running", m.Running(), c.atWork(), false},
		{"attempts", m.Attempt(), c.attempts, false},
		{"streak", m.Streak(), c.failures, false},
		{"stop", m.StoppedFor(), c.stop, false},
		{"by shutdown", m.ByShutdown(), c.shutdown, false},
		{"paused", m.Paused(), c.paused, false},
		{"abandoned", m.Abandoned(), c.abandoned, false},
		{"ready", m.Ready(), c.isReady(), false},
		{"was ready", m.WasReady(), c.wasReady, false},
		{"at gates", m.AtGates(), c.where == "due" && !c.paused, false},
		{"canceled by", m.CanceledBy(), causes[c.canceled], !inAttempt},
		{"timed out", m.TimedOut(), c.timedOut, !inAttempt},
		{"silent", m.Silent(), c.silent, !inAttempt},
		{"interrupted", m.Interrupted(), c.interrupted, !inAttempt},
		{"stuck", m.Stuck(), c.hangs, !inAttempt},
		{"waited", m.Waited(), span(c.waited), !inAttempt},
		{"last beat", m.LastBeat(), at(c.beat), c.where != "body"},
		{"outcome", m.Outcome(), c.outcome, c.where != "gone" && !c.abandoned},
		{"result", m.Result(), c.result, !attempted},
		{"delay", m.Delay(), span(c.delay), c.where != "delay" && !planned},
		{"planned", planned, c.plan != 0 && c.stop == 0, c.where != "ending"},
		{"source", source, c.plan, c.where != "ending" || !planned},
		{"due at", m.DueAt(), at(due), c.where == "begun" && c.stop == 0 || c.where == "ending" && c.stop == 0},
		{"since", m.Since(), at(c.since), slices.Contains([]string{"queued", "added"}, c.where)},
		{"started", m.Started(), at(c.started), c.attempts == 0},
		{"first", m.First(), at(c.first), false},
		{"last success", m.LastSuccess(), at(c.success), false},
	} {
		if !x.skip && x.got != x.want {
			return fmt.Sprintf("%s %v, want %v", x.what, x.got, x.want)
		}
	}
	for r := life.Success; r <= life.Canceled; r++ {
		if m.Count(r) != c.counts[r-1] {
			return fmt.Sprintf("%d attempts with result %d, want %d", m.Count(r), r, c.counts[r-1])
		}
	}
	return ""
}

// compareNext holds Wake to what Tick does: nothing before; then something, or at least
// another time to wake, or the owner's timer would fire without end.
func (w *twins) compareNext() string {
	wake := w.m.Wake()
	probe := func(at life.Time) (life.Effects, life.Time, life.Machine) {
		m := w.m
		e := m.Tick(at)
		return e, m.Wake(), m
	}
	if wake == 0 {
		if e, _, m := probe(1 << 60); e != 0 {
			return "no tick is asked for, and one later says " + wording(&m, e)
		}
		return ""
	}
	if wake > w.at() {
		if e, _, m := probe(wake - 1); e != 0 {
			return "a tick just before the one asked for says " + wording(&m, e)
		}
	}
	if e, next, _ := probe(max(wake, w.at())); e == 0 && next == wake && w.m.Phase() != life.Delayed {
		return "the tick that is asked for does nothing, and is asked for again"
	}
	return ""
}
