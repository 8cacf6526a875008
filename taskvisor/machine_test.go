package taskvisor

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// twins are a machine and the contract's opinion about it, given the same inputs.
type twins struct {
	m   machine
	c   contractTask
	now int // milliseconds; the machine's 0 means "never", so it begins at 1
}

func newTwins(p *contractPolicy, pol *policy) twins {
	w := twins{now: 1, c: contractTask{pol: p, where: "added"}}
	w.m.policy = pol
	w.m.phase = phaseAdded
	return w
}

func (w *twins) at() instant { return instant(w.now) * instant(time.Millisecond) }

// wording names a machine's actions as the contract does.
func (w *twins) wording(a actions) string {
	terminal := map[EventKind]string{TaskStopped: "✓", TaskFailed: "✗", TaskCanceled: "C"}
	var b strings.Builder
	for _, x := range []struct {
		bit  actions
		name string
	}{
		{doRequested, "Q"},
		{doStarting, "S"},
		{doTimeout, "T"},
		{doTerminal, terminal[terminalKind(w.m.result)]},
		{doReturned, "R"},
		{doExhausted, "E"},
		{doDead, "X"},
		{doBackoff, "B"},
		{doCancel, "cancel"},
		{doRun, "run"},
		{doAbort, "abort"},
		{doAgain, "again"},
		{doWait, "wait"},
		{doLeave, "D"},
		{doStuck, "stuck"},
		{doAbandon, "abandon"},
		{claimed, "claimed"},
	} {
		if a&x.bit != 0 {
			b.WriteString(" " + x.name)
			a &^= x.bit
		}
	}
	if a != 0 {
		fmt.Fprintf(&b, " unknown %b", a)
	}
	return b.String()
}

// input is one thing that can happen to a task.
type input struct {
	name string
	do   func(w *twins) (got, want string)
}

// inputs returns what can happen now: everything that comes from outside, at any
// time, and the owner's next step, in all its variants.
func (w *twins) inputs() []input {
	in := append([]input(nil), fromOutside...)
	switch w.c.where {
	case "added":
		in = append(in, input{"announced", func(w *twins) (string, string) {
			return w.wording(w.m.announced(w.at())), w.c.announce()
		}})
	case "announced", "pending":
		in = append(in, input{"begin", func(w *twins) (string, string) {
			w.m.phase = phasePending // as who asks for a permit does
			w.m.begin()
			w.m.prepare(w.at())
			w.c.begin(w.now)
			return "", ""
		}})
	case "beginning":
		in = append(in, input{"start", func(w *twins) (string, string) { return w.wording(w.m.start()), w.c.start() }})
	case "body":
		in = append(in, bodyEnds...)
	case "ending":
		in = append(in, input{"settle", func(w *twins) (string, string) { return w.wording(w.m.settle(w.at())), w.c.settle() }})
	case "aborting":
		in = append(in, input{"aborted", func(w *twins) (string, string) { return w.wording(w.m.aborted(w.at())), w.c.aborted() }})
	}
	return in
}

var fromOutside = func() []input {
	in := []input{{"abandon", func(w *twins) (string, string) {
		return fmt.Sprint(w.m.abandon(w.at())), fmt.Sprint(w.c.abandon())
	}}}
	for _, why := range []Reason{ErrRemoved, ErrShutdown} { // ErrReplaced is as ErrRemoved
		in = append(in, input{"claim " + why.String(), func(w *twins) (string, string) {
			return w.wording(w.m.claim(why, w.at())), w.c.claim(why, w.now)
		}})
	}
	for _, d := range []int{0, 1, 5, 25} {
		in = append(in, input{fmt.Sprintf("tick after %d ms", d), func(w *twins) (string, string) {
			w.now += d
			a := w.m.tick(w.at())
			if a&doStuck != 0 {
				w.m.stuck = true // as who publishes TaskStuck does
			}
			return w.wording(a), w.c.tick(w.now)
		}})
	}
	return in
}()

var bodyEnds = func() []input {
	in := []input{{"child fails", func(w *twins) (string, string) {
		by := w.c.cancelContext("child")
		return fmt.Sprint(w.m.cancel(byChild)), fmt.Sprint(by != "")
	}}}
	for _, b := range []back{
		{"nil", ResultSuccess, false, false},
		{"error", ResultFailure, false, false},
		{"RetryAfter", ResultFailure, false, true},
		{"fatal", ResultFatal, false, false},
		{"ErrCanceled", ResultCanceled, false, false},
		{"panic", ResultPanic, false, false},
		{"Goexit", ResultFailure, true, false},
	} {
		in = append(in, input{"returned " + b.name, func(w *twins) (string, string) {
			e := ending{kind: b.kind, goexit: b.goexit, requested: b.requested, after: contractRequested * time.Millisecond}
			w.m.returned(&e, w.at(), func() float64 { return 0.5 })
			w.c.returned(b, w.now)
			_, timedOut := e.err.(*TimeoutError)
			return fmt.Sprint(timedOut), fmt.Sprint(w.c.result == ResultTimeout)
		}})
	}
	return in
}()

// step gives both the same input and returns where they differ; "" if they agree.
func (w *twins) step(in input) string {
	before := w.c.state()
	got, want := in.do(w)
	if w.c.state() != before || in.name == "announced" || in.name == "start" && w.c.where == "body" {
		w.c.since = w.now
		if in.name == "start" {
			w.c.since = w.c.started
		}
	}
	if got != want {
		return fmt.Sprintf("actions%s, want%s", got, want)
	}
	return w.compare()
}

// compare looks at everything that others can see.
func (w *twins) compare() string {
	m, c := &w.m, &w.c
	causes := map[canceledBy]string{byNothing: "", byDeadline: "deadline", byStop: "stop", byChild: "child", byEnd: "end"}
	duration := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	differ := func(what string, got, want any) string { return fmt.Sprintf("%s %v, want %v", what, got, want) }
	switch {
	case m.state() != c.state():
		return differ("state", m.state(), c.state())
	case m.attempt != c.attempts:
		return differ("attempts", m.attempt, c.attempts)
	case int(m.streak) != c.failures:
		return differ("streak", m.streak, c.failures)
	case m.stop != c.stop:
		return differ("stop", m.stop, c.stop)
	case causes[m.canceled] != c.endedBy:
		return differ("context cancelled by", causes[m.canceled], c.endedBy)
	case m.timedOut != c.timedOut:
		return differ("timed out", m.timedOut, c.timedOut)
	case c.where == "gone" && m.outcome != c.outcome:
		return differ("outcome", m.outcome, c.outcome)
	case c.attempts > 0 && c.where != "body" && c.where != "beginning" && c.where != "aborting" && m.result != c.result:
		return differ("result", m.result, c.result)
	case c.where == "delay" && (m.source != c.planned || m.delay != duration(c.delay) || m.due != instant(duration(c.due))):
		return differ("plan", []any{m.source, m.delay, m.due}, []any{c.planned, duration(c.delay), duration(c.due)})
	case c.where != "added" && m.since != instant(duration(c.since)):
		return differ("since", time.Duration(m.since), duration(c.since))
	case c.terminal > c.attempts || c.where == "gone" && c.terminal != c.attempts:
		return differ("terminal events", c.terminal, c.attempts)
	}
	return w.compareNext()
}

// compareNext holds next to what tick does: nothing before, something then.
func (w *twins) compareNext() string {
	next := w.m.next()
	probe := func(at instant) actions {
		m := w.m
		return m.tick(at)
	}
	if next == 0 {
		if a := probe(1 << 60); a != 0 {
			return "no tick is asked for, and one later says" + w.wording(a)
		}
		return ""
	}
	if next > w.at() && probe(next-1) != 0 {
		return "a tick just before the one asked for says" + w.wording(probe(next-1))
	}
	if probe(max(next, w.at())) == 0 {
		return "the tick that is asked for does nothing"
	}
	return ""
}

// situation is w without what has no influence on what follows: two of one
// situation have the same future. Overdue is overdue, by how much does not
// matter, and no policy of the table tells ages above 31 ms apart.
func (w twins) situation() twins {
	const shown = 1000 // ms; what is now, so that no time becomes 0, which means never
	m, c := &w.m, &w.c
	m.since, m.first, m.success, c.since = 0, 0, 0, 0
	if c.where != "body" && c.where != "beginning" {
		m.started, c.started = 0, 0
	}
	if !c.atWork() {
		m.stuckAt, c.deadline, c.toldToGo, c.grace = 0, 0, 0, 0
	}
	if c.where != "delay" {
		c.due = 0
	}
	relative := func(at *int, oldest int) {
		if *at != 0 {
			*at = max(*at-w.now, oldest) + shown
		}
	}
	instants := func(at *instant, oldest int) {
		n := int(*at / instant(time.Millisecond))
		relative(&n, oldest)
		*at = instant(n)
	}
	instants(&m.started, -31)
	relative(&c.started, -31)
	relative(&c.toldToGo, -contractStuckAfter)
	for _, at := range []*instant{&m.due, &m.stuckAt} {
		instants(at, 0)
	}
	for _, at := range []*int{&c.deadline, &c.grace, &c.due} {
		relative(at, 0)
	}
	m.attempt, c.attempts, c.terminal = min(m.attempt, 1), min(c.attempts, 1), min(c.terminal, 1)
	w.now = 0
	return w
}

// Every sequence of inputs up to a length, for every policy: the machine does what
// the contract says. Of sequences that lead to the same situation one is followed.
func TestMachineAgreesWithTheContract(t *testing.T) {
	depth := 11
	if testing.Short() {
		depth = 8
	}
	for _, p := range contractPolicies() {
		t.Run(p.name, func(t *testing.T) {
			pol := p.policy()
			level := map[twins][]string{newTwins(p, pol): nil}
			seen, states := map[twins]bool{}, 0
			for range depth {
				next := map[twins][]string{}
				for w, path := range level {
					for _, in := range w.inputs() {
						x := w
						states++
						if diff := x.step(in); diff != "" {
							t.Fatalf("after %s, %s: %s", strings.Join(path, ", "), in.name, diff)
						}
						if at := x.situation(); !seen[at] && w.c.where != "gone" {
							seen[at] = true
							next[x] = append(path[:len(path):len(path)], in.name)
						}
					}
				}
				level = next
			}
			t.Logf("%d steps, %d situations", states, len(seen))
		})
	}
}

// Long random lives: escalation, resets, exhaustion, stops in the middle.
func TestMachineAgreesOverLongLives(t *testing.T) {
	lives := 150
	if testing.Short() {
		lives = 50
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range contractPolicies() {
		pol := p.policy()
		for range lives {
			w := newTwins(p, pol)
			var path []string
			for range 300 {
				in := pick(rng, &w)
				path = append(path, in.name)
				if diff := w.step(in); diff != "" {
					t.Fatalf("%s: after %s: %s", p.name, strings.Join(path, ", "), diff)
				}
				if w.c.where == "gone" {
					break
				}
			}
		}
	}
}

// pick prefers what keeps a task alive: stops are rare, and so are ends.
func pick(rng *rand.Rand, w *twins) input {
	for {
		all := w.inputs()
		in := all[rng.IntN(len(all))]
		rare := strings.HasPrefix(in.name, "claim") || in.name == "returned fatal" || in.name == "returned ErrCanceled"
		if !rare || rng.IntN(100) == 0 {
			return in
		}
	}
}

// A delay as long as a duration can be does not wrap.
func TestMachineDelaysSaturate(t *testing.T) {
	const end = instant(1<<63 - 1)
	for _, now := range []instant{1, 1 << 40, end - 1, end} {
		for _, d := range []time.Duration{0, 1, time.Hour, 1<<63 - 1} {
			if at := after(now, d); at < now || at != end && at-now != instant(d) {
				t.Errorf("after(%d, %d) = %d", now, d, at)
			}
		}
	}
}
