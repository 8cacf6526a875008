package main

import (
	"fmt"
	"strings"
)

// reasons say where the time or the memory of a row goes, by its title. They are
// read off profiles, and shown as long as the row misses its target.
var reasons = map[string]string{
	"restart loop, no subscriber": "a third of an attempt is its one clock read, `time.Now`, more than what the ratios are missed by;" +
		" the rest is two transitions under the task's lock, the event numbers, the pprof labels and the recover.",
	"… with queued subscribers": "an event is copied three times (into the ring, out of it, into the call), and between two processors each copy is four" +
		" cache lines that the other one has just written; worker and publisher meet at the ring's lock, where a quarter of the time is spent spinning." +
		" On one processor, where nobody meets anybody, the same costs half: see the plot by subscribers.",
	"one-shot: add, run, wait": "raw starts a goroutine and reads a channel. A task also has an id, a name in a map, a policy, a handle, an outcome with three" +
		" times, and pprof labels (three of its four allocations); the allocator and the clock are the largest parts, with a fifth and a tenth.",
	"`Run` of 100 000 instant tasks, per task": "as above; a hundred thousand names that are hashed into a map and out of it again are a fifth of it," +
		" and the garbage collector walks what is registered.",
	"5 failures, then success": "the task around the attempts is most of it (see the one-shot); the six attempts cost what the restart loop's do, with the" +
		" failures' classification. backoff/v5 runs on the caller's goroutine and reads the clock once per retry.",
	"stop 100 000 idle tasks": "each task is told, ends on its own goroutine, frees its name, and delivers an outcome.",
	"running idle task, RSS": "raw is a goroutine that shares one context; with a context of its own, which a task needs in order to be stopped alone, raw is the" +
		" second row of the memory table. The body's first look at its context makes a standard one, at a depth of calls that outgrows the" +
		" goroutine's first 2 KB of stack, and Go gives the second 2 KB back only to goroutines that use less than a quarter of them.",
	"task in backoff, RSS": "the state machine is one struct; handle, context of the first attempt, timer and last error are in it or hang from it.",
}

// why lists the reasons of what is missed.
func why(r results) string {
	var b strings.Builder
	said := map[string]bool{}
	for _, t := range r.allTargets() {
		title, _, _ := strings.Cut(t.work, ": 1")
		title, _, _ = strings.Cut(title, ": 4")
		if reason := reasons[title]; !t.met() && reason != "" && !said[title] {
			said[title] = true
			fmt.Fprintf(&b, "- **%s**: %s\n", strings.TrimPrefix(title, "… "), reason)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "### Why the missed are missed\n\n" + b.String() + "\n"
}
