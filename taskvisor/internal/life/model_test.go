package life_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// call is one call of a method of the machine. It returns the effects, and what the
// machine and the contract say.
type call struct {
	name string
	do   func(w *twins) (e life.Effects, got, want string)
}

// plain makes a call whose effects are compared.
func plain(name string, machine func(w *twins) life.Effects, want func(w *twins) string) call {
	return call{name, func(w *twins) (life.Effects, string, string) {
		e := machine(w)
		return e, wording(&w.m, e), want(w)
	}}
}

// outside are the calls that may come at any time.
var outside = func() []call {
	list := []call{
		plain("abandon", func(w *twins) life.Effects { return w.m.Abandon(w.at()) }, func(w *twins) string { return w.c.abandon() }),
		plain("fail", func(w *twins) life.Effects { return w.m.Fail(w.at()) }, func(w *twins) string { return w.c.fail() }),
		plain("run now", func(w *twins) life.Effects { return w.m.RunNow(w.at()) }, func(w *twins) string { return w.c.runNow(w.now) }),
		plain("interrupt", func(w *twins) life.Effects { return w.m.Interrupt(w.at()) }, func(w *twins) string { return w.c.interrupt(w.now) }),
		plain("pause", func(w *twins) life.Effects { return w.m.Pause(w.at()) }, func(w *twins) string { return w.c.pause() }),
		plain("resume", func(w *twins) life.Effects { return w.m.Resume(w.at()) }, func(w *twins) string { return w.c.resume(w.now) }),
		plain("announce", func(w *twins) life.Effects { return w.m.Announce(w.at()) }, func(w *twins) string { return w.c.announce() }),
		plain("launch", func(w *twins) life.Effects { return w.m.Launch(0, w.at()) }, func(w *twins) string { return w.c.launch(0, w.now) }),
		plain("launch later", func(w *twins) life.Effects { return w.m.Launch(6*unit, w.at()) }, func(w *twins) string { return w.c.launch(6, w.now) }),
		{"stacks read", func(w *twins) (life.Effects, string, string) {
			number := w.asked
			w.asked = 0
			if number == 0 {
				return 0, "", ""
			}
			return 0, fmt.Sprint(w.m.GotStuck(number)), fmt.Sprint(w.c.reported(number))
		}},
	}
	for i, name := range []string{"stop", "shutdown"} {
		list = append(list, plain(name,
			func(w *twins) life.Effects { return w.m.Stop(uint8(i+1), i == 1, stuckAfter*unit, w.at()) },
			func(w *twins) string { return w.c.halt(uint8(i+1), i == 1, w.now) }))
	}
	for _, d := range []int{0, 1, 3, 10, 50} {
		list = append(list, call{fmt.Sprintf("tick after %d", d), func(w *twins) (life.Effects, string, string) {
			w.now += d
			e := w.m.Tick(w.at())
			if e&life.Stuck != 0 {
				w.asked = w.m.Number()
			}
			return e, wording(&w.m, e), w.c.tick(w.now)
		}})
	}
	return list
}()

// calls returns what can happen now: what comes from outside, and the owner's next step
// in all its variants.
func (w *twins) calls() []call {
	if w.c.where == "queued" {
		return queuedCalls
	}
	list := slices.Clone(outside)
	if w.c.rules.gated {
		list = append(list, plain("let in", func(w *twins) life.Effects { return w.m.LetIn(w.at()) }, func(w *twins) string { return w.c.passed(w.now) }))
	}
	switch w.c.where {
	case "begun":
		list = append(list, childFails,
			plain("start", func(w *twins) life.Effects { return w.m.Start(w.at()) }, func(w *twins) string { return w.c.start(w.now) }))
	case "body":
		list = append(list, childFails)
		list = append(list, bodyCalls...)
	case "ending", "aborting", "undone":
		list = append(list, plain("settle",
			func(w *twins) life.Effects { return w.m.Settle(w.c.where != "ending", w.at()) },
			func(w *twins) string { return w.c.settle(w.now) }))
	case "delay":
		if w.c.rules.scheduled && !w.c.triggered {
			list = append(list, plain("postponed", func(w *twins) life.Effects { w.m.Postpone(at(w.now + 3)); return 0 },
				func(w *twins) string { w.c.due = w.now + 3; return nothing }))
		}
	}
	return list
}

var queuedCalls = []call{
	plain("registered", func(w *twins) life.Effects { w.m.Register(); return 0 }, func(w *twins) string { w.c.where = "added"; return nothing }),
	plain("rejected", func(w *twins) life.Effects { w.m.Reject(7, w.at()); return 0 }, func(w *twins) string {
		w.c.stop = 7
		w.c.gone(life.Rejected)
		return nothing
	}),
	plain("paused", func(w *twins) life.Effects { return w.m.Pause(w.at()) }, func(*twins) string { return nothing }),
	plain("resumed", func(w *twins) life.Effects { return w.m.Resume(w.at()) }, func(w *twins) string { return w.c.resume(w.now) }),
	plain("run now", func(w *twins) life.Effects { return w.m.RunNow(w.at()) }, func(*twins) string { return nothing }),
	plain("interrupt", func(w *twins) life.Effects { return w.m.Interrupt(w.at()) }, func(*twins) string { return nothing }),
	plain("tick", func(w *twins) life.Effects { return w.m.Tick(w.at()) }, func(*twins) string { return nothing }),
}

var childFails = plain("child fails", func(w *twins) life.Effects { return w.m.CancelChild() }, func(w *twins) string { return said("", w.c.cancel("child")) })

var bodyCalls = func() []call {
	list := []call{
		plain("body back", func(w *twins) life.Effects { return w.m.CancelEnd() }, func(w *twins) string { return said("", w.c.cancel("end")) }),
		plain("ready", func(w *twins) life.Effects { return w.m.SayReady() }, func(w *twins) string { return w.c.sayReady() }),
		plain("beat", func(w *twins) life.Effects { w.m.Beat(w.at()); return 0 }, func(w *twins) string { w.c.beat = w.now; return nothing }),
	}
	for _, b := range backs {
		for _, next := range []int{0, 5} {
			if next > 0 && b.kind != life.Success {
				continue
			}
			name := map[int]string{0: "", 5: ", next in 5"}[next]
			list = append(list, call{"returned " + b.name + name, func(w *twins) (life.Effects, string, string) {
				then := 0
				if next > 0 {
					then = w.now + next
				}
				e := w.m.Returned(life.Ending{Kind: b.kind, Exited: b.exited, Asked: b.asked, After: asks * unit, Next: at(then)},
					w.at(), func() float64 { return 0.5 })
				return e, wording(&w.m, e), w.c.returned(b, then, w.now)
			}})
		}
	}
	return list
}()

// situation is what two machines with the same future have in common: how long ago
// things were matters no more than the rules can tell.
func (w *twins) situation() string {
	c := w.c
	relative := func(at, oldest int) int {
		if at == 0 {
			return 0
		}
		return max(at-w.now, oldest) + 1000
	}
	pending := min(w.asked, 1)
	if pending > 0 && w.asked != w.m.Number() {
		pending = 2
	}
	times := []int{relative(c.deadline, 0), relative(c.heals, -1), relative(c.beat, -1-c.rules.idle), relative(c.overdue, 0), relative(c.grace, 0)}
	if !c.atWork() {
		times = nil
	}
	due := 0
	if c.where == "delay" {
		due = relative(c.due, 0)
	}
	started := relative(c.started, -61)
	if wake := w.m.Wake(); wake != 0 {
		due = due*10000 + int(max(wake-w.at(), 0)/life.Time(unit))
	}
	return fmt.Sprint(c.where, c.stop, c.shutdown, c.paused, c.triggered, c.abandoned, min(c.attempts, 2), min(c.failures, 4), c.wasReady,
		c.timedOut, c.silent, c.interrupted, c.ready, c.canceled, c.hangs, c.stuck, c.result, c.plan, c.delay, relative(c.over, -61), c.outcome,
		times, due, started, pending)
}

// Every sequence of calls up to a length, for every policy: the machine does what the
// contract says. Of sequences that lead to the same situation one is followed.
func TestMachineAgreesWithTheContract(t *testing.T) {
	depth := 8
	switch {
	case os.Getenv("TASKVISOR_SOAK") != "":
		depth = 11
	case testing.Short():
		depth = 6
	}
	for _, r := range allRules() {
		t.Run(r.name, func(t *testing.T) {
			p := r.policy()
			begin := newTwins(r, p, life.Queued)
			level := map[string]path{begin.situation(): {w: begin}}
			seen, steps := map[string]bool{}, 0
			for n := 0; n < depth; n++ {
				next := map[string]path{}
				for _, key := range slices.Sorted(maps.Keys(level)) {
					from := level[key]
					for _, in := range from.w.calls() {
						x := *from.w
						steps++
						if diff := x.step(in); diff != "" {
							t.Fatalf("after %s, %s: %s", strings.Join(from.calls, ", "), in.name, diff)
						}
						if at := x.situation(); !seen[at] && from.w.c.where != "gone" {
							seen[at] = true
							next[at] = path{&x, append(from.calls[:len(from.calls):len(from.calls)], in.name)}
						}
					}
				}
				level = next
			}
			t.Logf("%d steps, %d situations", steps, len(seen))
		})
	}
}

type path struct {
	w     *twins
	calls []string
}

// Long random lives: escalation, resets, exhaustion, the wheel, stops in the middle.
func TestMachineAgreesOverLongLives(t *testing.T) {
	lives := 400
	if testing.Short() {
		lives = 100
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, r := range allRules() {
		p := r.policy()
		for range lives {
			live(t, r, p, func(n int) int { return rng.IntN(n) }, 300)
		}
	}
}

// live follows one life of at most n calls, chosen by pick.
func live(t *testing.T, r *rules, p *life.Policy, pick func(n int) int, n int) {
	t.Helper()
	w := newTwins(r, p, life.Queued)
	var names []string
	for range n {
		all := w.calls()
		in := all[pick(len(all))]
		if ends := slices.Contains([]string{"stop", "shutdown", "fail", "rejected", "returned fatal", "returned ErrCanceled"}, in.name); ends && pick(30) > 0 {
			continue // what ends a life is rare, or it would be short
		}
		names = append(names, in.name)
		if diff := w.step(in); diff != "" {
			t.Fatalf("%s: %s\nafter %s", r.name, diff, strings.Join(names[max(0, len(names)-40):], ", "))
		}
		if w.c.where == "gone" && w.m.Phase() == life.Gone && pick(20) == 0 {
			return
		}
	}
}

// FuzzMachine reads a policy and calls from bytes.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 0, 6, 7, 18, 19, 20, 21, 22})
	f.Add([]byte{9, 0, 6, 7, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17, 18, 18, 18, 18})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2 || len(data) > 1000 {
			return
		}
		all := allRules()
		r := all[int(data[0])%len(all)]
		data = data[1:]
		next := 0
		live(t, r, r.policy(), func(n int) int {
			next++
			return int(data[(next-1)%len(data)]) % n
		}, len(data))
	})
}
