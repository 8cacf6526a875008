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
	"one-shot: add, run, wait": "raw starts a goroutine and reads a channel; with labels, a context and two clock readings written by hand (*raw+contract*) it has done" +
		" most of what a task takes, which also has an id, a name in a table, a policy, a handle and an outcome. Labels are three of its four allocations, the least" +
		" that runtime/pprof allows, and with what they cost the collector a fifth of the time; two clock readings are 5 %, nine pairs of locks 9 %. And suture takes" +
		" 2.1 µs here, not the 3.8 of the machine that the target comes from.",
	"`Run` of 100 000 instant tasks, per task": "raw is a go statement and a counter; *raw+contract*, which has no names, no handles and no outcomes, takes longer than" +
		" taskvisor. A third is spent before the first task runs: 100 000 handles are made, and their names hashed into a table that is in no cache.",
	"5 failures, then success": "raw calls a function six times. To give each attempt a context and a duration, and its goroutine labels, takes bare Go (*raw+contract*)" +
		" longer than taskvisor. Of what taskvisor takes, the task around the attempts is more than half (see the one-shot), each attempt 75 ns, and the body's own" +
		" closures a tenth. backoff/v5 runs on the caller's goroutine, registers nothing and contains no panic.",
	"stop 100 000 idle tasks": "each task is told, ends on its own goroutine, frees its name, and delivers an outcome; raw closes one channel for all." +
		" The sides that share a channel swing by a factor of two between rounds.",
	"running idle task, RSS": "raw is a goroutine that shares one context. A task needs one of its own in order to be stopped alone, and wears labels: bare Go with both" +
		" is the third row of the memory table, and leaves 70 B of what the target allows. What taskvisor adds to that: the handle 288 B, its runner 144, what knows the" +
		" attempt behind its context 112, the name 32, and some 100 of the allocator and of stacks that grow. An own type of context would save 100 B, and have every" +
		" derived context cost a goroutine.",
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
