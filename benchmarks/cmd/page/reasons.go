package main

import (
	"fmt"
	"strings"
)

// reasons say where the time or the memory of a row goes, by its title. They are
// read off profiles, and shown as long as the row misses its target.
var reasons = map[string]string{
	"restart loop, no subscriber": "a third of an attempt is its one clock read, of the monotonic clock alone; a sixth is two transitions under the task's lock," +
		" and the rest the event numbers, the context, the pprof labels and the recover.",
	"… with queued subscribers": "an event is built in its place in the ring, copied out by the worker, and given to OnEvent by value: 240 bytes each time," +
		" where the targets were set by a prototype of 128. A delivery takes 25 ns on one processor, of which 7 are the one locked instruction" +
		" that keeps the accounts exact if the subscriber never comes back, and 6 the subscriber's own. Two processors add the cache lines that the other one has just" +
		" written, and the scheduler: a processor that goes to sleep for microseconds costs more to wake than the work it would do. And a channel is" +
		" cheaper here (65 ns) than where the target comes from (268). Tried without gain: a record of 128 bytes that each worker makes an event of" +
		" (9 ns a delivery more), 16 or 32 events per lock instead of 64, waking at half of the capacity, yielding to whom was woken.",
	"one-shot: add, run, wait": "raw starts a goroutine and reads a channel. A task also has an id, a name in a table, a policy, a handle, an outcome with three" +
		" times, and pprof labels: these are three of its four allocations, the least that runtime/pprof allows, and a fifth of the time (without them it" +
		" takes 0.9 µs). Three clock reads are 5 %, a dozen pairs of locks 12 %, the garbage collector 10 %.",
	"`Run` of 100 000 instant tasks, per task": "raw is a go statement and a counter. Of the processor time, 20 % are a hundred thousand names that are hashed into a" +
		" table and out of it, 20 % locks on which two processors meet, 12 % the allocator, 8 % labels, 5 % the clock.",
	"5 failures, then success": "the task around the attempts is half of it (see the one-shot), the six attempts 75 ns each, and a spec with options of its own" +
		" the rest; a sixth is the allocator's. backoff/v5 runs on the caller's goroutine, registers nothing and contains no panic.",
	"stop 100 000 idle tasks": "each task is told, ends on its own goroutine, frees its name, and delivers an outcome; raw closes one channel for all." +
		" The sides that share a channel swing by a factor of two between rounds.",
	"running idle task, RSS": "raw is a goroutine that shares one context; with a context of its own, which a task needs in order to be stopped alone, raw is the" +
		" second row of the memory table. What comes on top of a goroutine: the handle 320 B, its runner 176, the pprof labels 168, the context of" +
		" the attempt 112 with the standard one's 96 and its channel's 112, the name 32, and some 100 of the allocator and of stacks that grow. A standard context" +
		" is there because the body waits for it; an own type would save 100 B, and have every derived context cost a goroutine.",
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
