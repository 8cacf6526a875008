// Package livesub is a page that shows what the supervisors of a process do, and
// that can act on their tasks: an [net/http.Handler] in the manner of
// net/http/pprof, made of the standard library alone.
//
//	page := livesub.New()
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(page))
//	…
//	mux.Handle("/debug/taskvisor/", page)
//
// It works under any prefix, before a supervisor starts and after it has ended, and
// for several at once. It listens nowhere by itself: whoever may reach the mux may
// read names, notes, error texts and stacks. See [WithErrorFormatter] for what must
// not be shown, and [WithActions] for who may do more than look.
//
// # Addresses
//
// Below the prefix:
//
//	./                        what needs somebody, then the tasks
//	./?task=NAME              one task: policy, attempts, events
//	./?state=backoff&q=mail   filters: a state, or needs; a part of a name, kind or slot
//	./?supervisor=NAME        one of several supervisors
//	./?n=50&after=NEXT        at most so many tasks (200 at most), those that follow
//	./?task=NAME&stacks=1     with fresh stacks of the task's goroutines
//	./?format=json            the same as JSON; format=text for terminals
//	./events?after=SEQ        events as lines of JSON, oldest first, at most 1 000
//	./incident?id=ID          an incident, see [WithIncidents]
//	POST ./action             see [WithActions]
//
// Without the parameter after, tasks that need somebody come first. A supervisor that has
// more than is shown says next_after: given as after, together with its name as
// supervisor, it leads to the next tasks, in the order in which they were added. Who goes on
// until there is none has seen each task that matches, once.
//
// The events of a supervisor are numbered from 1. One that is made anew under the name
// begins again: a SEQ beyond its last is of the life before, and answered with all that the
// new one has. Ask before it has numbered as many, or its first events are missed.
//
// All but an action are answers to GET and HEAD and change nothing. They carry an
// ETag, so that asking again costs little while nothing happened.
//
// # JSON
//
// The object has "version": 1, which changes when the meaning of a member does; new
// members may come at any time. Names are snake_case, what is not set is absent,
// durations are seconds under names that end in _seconds, times are RFC 3339.
//
// # What it costs
//
// The page is a queued subscriber: no task waits for it. It keeps the last 32
// attempts and 16 events of at most [WithMaxHistory] tasks, about 3.5 KB each when
// full and error texts of at most 2 KiB, and the last 1 024 events of each
// supervisor. An answer shows at most 200 tasks. No code of the program's runs on the
// goroutine of a request that looks, except the function given to [WithActions] and the
// handler given to [WithIncidents]: error texts are taken when an event comes. An action
// is a call of the task's handle, and as every such call may run inline subscribers and
// gates.
package livesub
