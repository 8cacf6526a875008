// Package healthsub answers the probes of Kubernetes, load balancers and systemd for a
// process whose work is supervised: is it ready, is it alive, and if not, which task is
// the reason, since when. It is made of the standard library alone.
//
//	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders", "billing"))
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(health), taskvisor.WithPreStopDelay(5*time.Second))
//	…
//	mux.Handle("/livez", health.Live())
//	mux.Handle("/readyz", health.Ready())
//
// # Levels
//
// Only critical tasks decide: those with [taskvisor.WithEssential], and those that
// [WithLevel] or [WithLevelFunc] says. Others are degrading by default, and are named
// in the reasons; ignored ones are not looked at.
//
// # Ready
//
// [Health.Ready] answers 200, or 503
//
//   - before every supervisor has started;
//   - until every critical task, those that [WithLevel] names included, was added and
//     was ready once: it said so by [taskvisor.Ready], it has succeeded, or an attempt of
//     it was seen to run, unless it has [taskvisor.WithReadiness] or is a [taskvisor.Once],
//     which is to complete; a supervisor that is made anew has its tasks to be added again;
//   - while a critical task is paused, or has given up and no task of that name was
//     added again (one that has completed, or was stopped, is not missed);
//   - from the moment a shutdown begins, which with [taskvisor.WithPreStopDelay] is the
//     signal, some time before any task is stopped; and after the end.
//
// A standby, which waits for a lease that another replica holds, is ready: see
// [WithStandby]; with [WithLeases] the verbose answer says who has which. A task that was
// ready once and fails again and again is not unready: a dependency that is down must not
// take the whole fleet out of service.
//
// # Live
//
// [Health.Live] answers 503 only while a critical task has been stuck or abandoned for
// longer than [WithStuckLimit], by default 30 s: that is what a restart of the process
// cures. It answers 200 before the start, and from the beginning of a shutdown on, which
// takes no longer than its grace.
//
// # Probes
//
// Answers are of plain text, a line for each reason; ?verbose makes them JSON: all
// reasons with the time since when they hold. They name tasks, and show no errors. In
// the terms of a Kubernetes container:
//
//	readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 2, failureThreshold: 1}
//	livenessProbe:  {httpGet: {path: /livez, port: 8080}, periodSeconds: 10, failureThreshold: 3}
//
// with a pre-stop delay of a few seconds, so that the endpoint is out of rotation
// before anything stops, and terminationGracePeriodSeconds above the sum of delay,
// grace and subscriber drain.
//
// # What it costs
//
// The subscriber is inline and does nothing on the events of attempts that come and
// go. An answer is computed by whoever asks, calls no code of the program's, and never
// waits for a task: it reads the tasks that are critical or not well, a microsecond
// each. All tasks are read, by [taskvisor.Supervisor.Snapshot], when another one has
// begun to matter: a critical one was added, one has failed three times in a row, is
// stuck or paused, or gave up; and while a supervisor does not run. That costs a
// microsecond or two for each. A reading that took more than 2 ms is used again for ten
// times as long as it took, unless a shutdown begins or a critical task gives up or is
// paused: asking ever so often takes a tenth of one processor.
package healthsub
