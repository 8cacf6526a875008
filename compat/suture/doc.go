// Package suture has the exported API of github.com/thejerf/suture/v4 on taskvisor. A
// program that uses suture is linked to it by one line of its go.mod,
//
//	replace github.com/thejerf/suture/v4 => github.com/taskvisor/taskvisor-go/compat/suture v0.1.0
//
// and needs no other change. What taskvisor's subscribers offer is then a call of
// [Observe] away, for every supervisor of the program, those that its libraries make
// included: metrics, traces, logs, the live page.
//
//	page := livesub.New()
//	suture.Observe(func(supervisor string) []taskvisor.Subscribe {
//		return []taskvisor.Subscribe{page, promsub.New(prometheus.DefaultRegisterer)}
//	})
//
// # How it maps
//
// A suture supervisor is a taskvisor supervisor, whose name is the path from the root
// ("app/db"). A service is a task of it, named by what its String method returns, and
// by a number from the second of a name on; metrics know it by the name without the
// number. A return without an error is a failure like others, since suture counts it
// as one. ErrDoNotRestart completes the task, ErrTerminateSupervisorTree is fatal. A
// service that waits for the end of a FailureBackoff waits at the gate
// "failure_backoff". One that did not stop within Timeout is abandoned, which its
// supervisor's metrics, logs and page show for as long as it runs.
//
// A service may return what marks an error for taskvisor: after
// taskvisor.RetryAfter(time.Minute, err) it is restarted a minute later, and after
// taskvisor.Fatal(err) not at all. In its context taskvisor.Go, Beat and FromContext
// work.
//
// # What is different on purpose
//
//   - The EventHook is called on a goroutine of its own, one call at a time, in the
//     order of what happened. A hook that blocks delays nobody; Serve waits five
//     seconds for it at most.
//   - A service without a String method is named by its type. Printing all its
//     fields, as suture does, reads them while the service writes them.
//   - Two starts of a service are at least a millisecond apart, so that one that
//     returns at once does not occupy a processor, whatever the FailureThreshold.
//   - A FailureBackoff begins once, and is not prolonged by services that fail while
//     it lasts: one EventBackoff, one EventResume.
//   - UnstoppedServiceReport covers the tree below the supervisor. A supervisor inside
//     another gives up a sixteenth of the outer one's Timeout earlier, so that events
//     and reports name the service that hangs and not those who wait for it.
//   - A supervisor serves once; a second Serve after the end returns an error that is
//     ErrDoNotRestart and ErrSupervisorNotRunning.
package suture
