package life_test

import (
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// drive makes the calls of a script, one a word, and returns the events in their order;
// D is the end of the task, [ ] what happens at gates: enter and quit.
func drive(t *testing.T, m *life.Machine, script string) (trace []string) {
	t.Helper()
	now := life.Time(1)
	for word := range strings.FieldsSeq(script) {
		if d, err := time.ParseDuration(word); err == nil {
			now += life.Time(d)
			word = "tick"
		}
		ends := map[string]life.Ending{"nil": {Kind: life.Success}, "error": {Kind: life.Failure}, "fatal": {Kind: life.Fatal},
			"cancel": {Kind: life.Canceled}, "panic": {Kind: life.Panic}, "exit": {Kind: life.Failure, Exited: true}}
		if end, ok := ends[word]; ok { // back, and settled
			trace = append(trace, letters(m, m.Returned(end, now, nil))...)
			word = "settle"
		}
		e, ok := do(m, word, now)
		if !ok {
			t.Fatalf("unknown word %q", word)
		}
		trace = append(trace, letters(m, e)...)
		if e&life.Abandon != 0 && m.Abandon(now)&life.Leave != 0 {
			trace = append(trace, "D")
		}
	}
	return trace
}

// letters are the effects that TestOrder looks at, in the order of the events.
func letters(m *life.Machine, e life.Effects) (trace []string) {
	for _, x := range eventWords {
		if e&x.bit != 0 {
			if x.word == "" {
				x.word = terminals[m.Result()]
			}
			trace = append(trace, x.word)
		}
	}
	for _, x := range []struct {
		bit  life.Effects
		word string
	}{{life.Enter, "["}, {life.Quit, "]"}, {life.Stuck, "stuck"}, {life.Abandon, "N"}, {life.Leave, "D"}} {
		if e&x.bit != 0 {
			trace = append(trace, x.word)
		}
	}
	return trace
}

func do(m *life.Machine, word string, now life.Time) (life.Effects, bool) {
	switch word {
	case "settle":
		return m.Settle(false, now), true
	case "add":
		return m.Announce(now), true
	case "launch":
		return m.Launch(0, now), true
	case "begin":
		return m.Announce(now) | m.Launch(0, now), true
	case "start":
		return m.Start(now), true
	case "in":
		return m.LetIn(now), true
	case "in,start":
		return m.LetIn(now) | m.Start(now), true
	case "tick":
		return m.Tick(now), true
	case "stop":
		return m.Stop(1, false, m.Policy().StuckAfter, now), true
	case "shutdown":
		return m.Stop(2, true, m.Policy().StuckAfter, now), true
	case "later": // a shutdown in stages: stuck is counted from the end of the share
		return m.Stop(2, true, m.Policy().StuckAfter+10*time.Second, now), true
	case "abort":
		return m.Settle(true, now), true
	case "run":
		return m.RunNow(now), true
	case "interrupt":
		return m.Interrupt(now), true
	case "pause":
		return m.Pause(now), true
	case "resume":
		return m.Resume(now), true
	case "ready":
		return m.SayReady(), true
	case "beat":
		m.Beat(now)
		return 0, true
	case "fail":
		return m.Fail(now), true
	}
	return 0, false
}

// The order of events per path, in the contract's notation: its table, and the paths of
// gates, the wheel, silence and ordered stops.
func TestOrder(t *testing.T) {
	const retry = "error 1s start "
	for _, tt := range []struct {
		path, script, want string
		outcome            life.Outcome
		change             func(p *life.Policy)
	}{
		{"once, success", "begin start nil", "A S ✓ E ] D", life.Completed, once},
		{"once, failure", "begin start error", "A S ✗ E ] D", life.Failed, once},
		{"failures, then success", "begin start " + retry + retry + "nil", "A S ✗ B ] S ✗ B ] S + ✓ E ] D", life.Completed, nil},
		{"all retries fail", "begin start " + retry + retry + "error", "A S ✗ B ] S ✗ B ] S ✗ E ] D", life.Failed, nil},
		{"fatal", "begin start fatal", "A S ✗ X ] D", life.Died, nil},
		{"ErrCanceled unasked", "begin start cancel", "A S C ] D", life.Stopped, nil},
		{"periodic", "begin start nil 10s start nil", "A S ✓ B ] S ✓ B ]", 0, always},
		{"timeout, and again", "begin start 20s error 1s start 20s nil", "A S T ✗ B ] S T ✗ E ] D", life.Failed, timeout},
		{"stop while running, nil", "begin start stop nil", "A S Q ✓ ] D", life.Stopped, always},
		{"stop while running, error", "begin start stop error", "A S Q C ] D", life.Stopped, nil},
		{"stop while running, panic", "begin start stop panic", "A S Q ✗ ] D", life.Stopped, nil},
		{"stop while running, exit", "begin start stop exit", "A S Q ✗ ] D", life.Stopped, nil},
		{"stop while running, fatal", "begin start stop fatal", "A S Q ✗ ] D", life.Stopped, nil},
		{"stop after the timeout", "begin start 20s stop nil", "A S T Q ✗ ] D", life.Stopped, timeout},
		{"stop during backoff", "begin start error stop 1h", "A S ✗ B ] Q D", life.Stopped, nil},
		{"stop while pending", "add stop launch", "A Q D", life.Stopped, nil},
		{"stop before it is announced", "stop add launch", "A Q D", life.Stopped, nil},
		{"stop before the start", "begin stop start abort", "A Q ] D", life.Stopped, nil},
		{"shutdown while running", "begin start shutdown error", "A S C ] D", life.Stopped, nil},
		{"stop, body ignores it", "begin start stop 5s 15s error", "A S Q stuck N C R ] D", life.Abandoned, nil},
		{"stop, released", "begin start stop 5s 15s error", "A S Q stuck N D Y", life.Abandoned, func(p *life.Policy) { p.Release = true }},
		{"gated start", "begin in,start nil", "A [ S ✓ E ] D", life.Completed, once},
		{"stop at a gate", "begin stop in", "A [ Q ] D ]", life.Stopped, once},
		{"a dependency ends", "begin fail", "A [ E ] D", life.Failed, once},
		{"interrupt while running", "begin start 1s interrupt error start nil", "A S I C B ] S ✓ E ] D", life.Completed, nil},
		{"interrupt while running, nil", "begin start 1s interrupt nil start nil", "A S I C B ] S ✓ E ] D", life.Completed, nil},
		{"interrupt during backoff", "begin start error 100ms interrupt start nil", "A S ✗ B ] I S + ✓ E ] D", life.Completed, nil},
		{"interrupt before the start", "begin interrupt start abort start nil", "A I ] S ✓ E ] D", life.Completed, once},
		{"interrupt before the start, at a gate", "begin in interrupt start abort in,start nil", "A [ I [ ] S ✓ E ] D", life.Completed, once},
		{"interrupt before the start, then stop", "begin interrupt start stop abort", "A I Q ] D", life.Stopped, nil},
		{"interrupt before the start, then pause", "begin interrupt pause start abort 1s resume start nil", "A I ‖ ] ▶ S ✓ E ] D", life.Completed, once},
		{"interrupt at a gate", "begin interrupt in,start nil", "A [ S ✓ E ] D", life.Completed, once},
		{"interrupted twice, and stuck", "begin start interrupt interrupt 5s error", "A S I stuck C B ]", 0, nil},
		{"interrupt, then stop", "begin start interrupt stop error", "A S I Q C ] D", life.Stopped, nil},
		{"run now in a delay", "begin start nil 1s run start", "A S ✓ B ] ! S", 0, always},
		{"run now while running", "begin start 1s run run nil start nil", "A S ! ✓ B ] S ✓ E ] D", life.Completed, once},
		{"pause and resume in a delay", "begin start nil pause 10s resume start", "A S ✓ B ] ‖ ▶ S", 0, always},
		{"pause while running", "begin start pause 1s nil 10s resume start", "A S ‖ ✓ B ] ▶ S", 0, always},
		{"pause at a gate", "begin pause in resume in,start nil", "A [ ‖ ] ] ▶ [ S ✓ E ] D", life.Completed, once},
		{"stop while paused", "add pause launch stop", "A ‖ Q ] D", life.Stopped, nil},
		{"idle timeout", "begin start 4s beat 4s beat 5s error", "A S T ✗ B ]", 0, idle},
		{"ready", "begin start ready ready nil", "A S r ✓ E ] D", life.Completed, func(p *life.Policy) { p.Readiness = true }},
		{"recovered while running", "begin start error 1s start 61s nil", "A S ✗ B ] S + ✓ E ] D", life.Completed, nil},
		{"staged stop", "begin start later 14s 1s nil", "A S stuck ✓ ] D", life.Stopped, always},
		{"staged stop, in time", "begin start later 14s error", "A S C ] D", life.Stopped, always},
	} {
		p := &life.Policy{Retries: 2, Backoff: life.Backoff{First: time.Second, Max: time.Second}, ResetAfter: time.Minute,
			StuckAfter: 5 * time.Second, Grace: 20 * time.Second}
		if tt.change != nil {
			tt.change(p)
		}
		m := life.New(p, life.Added, strings.Contains(tt.want, "["), false)
		if got := strings.Join(drive(t, &m, tt.script), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.path, got, tt.want)
		}
		if over := m.Phase() == life.Gone; over != (tt.outcome != 0) || over && m.Outcome() != tt.outcome {
			t.Errorf("%s: outcome %d, over %v, want %d", tt.path, m.Outcome(), over, tt.outcome)
		}
	}
}

func once(p *life.Policy)    { p.Restart, p.Retries = life.Never, life.Unlimited }
func always(p *life.Policy)  { p.Restart, p.Interval = life.Always, 10*time.Second }
func timeout(p *life.Policy) { p.Timeout, p.Retries, p.ResetAfter = 20*time.Second, 1, 0 }
func idle(p *life.Policy)    { p.Idle = 5 * time.Second }
