// Package promsub exports what a taskvisor supervisor does as Prometheus
// metrics.
//
//	sub := promsub.New(prometheus.DefaultRegisterer)
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
//
// Counters and histograms follow the events, inline, so that none is lost.
// Gauges are read from the supervisor's snapshot when they are scraped, so that
// they cannot drift. Serve the registry with
// promhttp.HandlerOpts{EnableOpenMetrics: true} if exemplars are wanted, and
// until the supervisor's shutdown has ended.
//
// # Metrics
//
// Every metric has the label supervisor, the supervisor's name, so that several
// share one registry. The labels below come on top of it.
//
// The supervisor:
//
//	taskvisor_build_info                           gauge      version, go_version  which version runs where?
//	taskvisor_supervisor_state                     gauge      state                is it up?
//	taskvisor_supervisor_start_timestamp_seconds   gauge      -                    since when does it count?
//	taskvisor_tasks                                gauge      state                how many, doing what?
//	taskvisor_tasks_added_total                    counter    -                    how much churn? added - removed = sum of tasks
//	taskvisor_tasks_removed_total                  counter    -                    as above
//	taskvisor_tasks_finished_total                 counter    outcome              did a task give up?
//	taskvisor_concurrency_limit                    gauge      -                    how much headroom?
//	taskvisor_concurrency_in_use                   gauge      -                    how much headroom?
//	taskvisor_stuck_attempts                       gauge      -                    which bodies ignore their context now?
//	taskvisor_abandoned_attempts                   gauge      -                    as above, and were given up?
//	taskvisor_attempts_abandoned_total             counter    cause                does anything ignore its context?
//	taskvisor_shutdown_start_timestamp_seconds     gauge      -                    draining since when?
//	taskvisor_shutdown_duration_seconds            gauge      -                    draining for how long?
//
// Each task:
//
//	taskvisor_task_policy                          gauge      task, restart        resident, periodic or a job?
//	taskvisor_task_interval_seconds                gauge      task                 how old may its last success be?
//	taskvisor_task_added_timestamp_seconds         gauge      task                 has it had its chance?
//	taskvisor_task_state                           gauge      task, state          what is a task doing?
//	taskvisor_task_ready                           gauge      task                 may others rely on it?
//	taskvisor_task_attempts_total                  counter    task, result         error ratio? panics? timeouts?
//	taskvisor_task_attempt_duration_seconds        histogram  task, result         latency? which trace?
//	taskvisor_task_restarts_total                  counter    task, cause          restart rate?
//	taskvisor_task_gave_up_total                   counter    task, outcome        which one gave up?
//	taskvisor_task_consecutive_failures            gauge      task                 crash loop?
//	taskvisor_task_backoff_delay_seconds           gauge      task                 how escalated?
//	taskvisor_task_backoff_seconds_total           counter    task                 share of time in backoff?
//	taskvisor_task_last_success_timestamp_seconds  gauge      task                 stale?
//	taskvisor_task_next_start_timestamp_seconds    gauge      task                 due?
//	taskvisor_task_attempt_start_timestamp_seconds gauge      task                 hung?
//
// Gates, the concurrency limit max_concurrent and the restart_budget among them:
//
//	taskvisor_gate_waiting                         gauge      gate                 what are tasks waiting for?
//	taskvisor_gate_wait_seconds                    histogram  gate                 what does a limit cost?
//
// Admission:
//
//	taskvisor_admission_requests_total             counter    policy, result       offered load?
//	taskvisor_admission_rejections_total           counter    reason               why refused?
//	taskvisor_admission_wait_seconds               histogram  -                    queueing delay?
//	taskvisor_slots                                gauge      state                how many active keys?
//	taskvisor_slot_queue_length                    gauge      -                    how deep are the queues?
//	taskvisor_slot_queue_length_max                gauge      -                    is one key hot?
//	taskvisor_slot_queue_oldest_timestamp_seconds  gauge      -                    does anything starve?
//
// Leases, with WithLeases:
//
//	taskvisor_lease_owned                          gauge      task, mode           who owns it?
//	taskvisor_lease_wanted                         gauge      task, mode           who would take it?
//	taskvisor_lease_acquired_total                 counter    -                    how often do they move?
//	taskvisor_lease_lost_total                     counter    reason               is the engine reachable, are bodies cut off?
//	taskvisor_lease_renew_seconds                  histogram  -                    is the engine slow?
//	taskvisor_lease_margin_seconds                 gauge      -                    how close to a loss?
//	taskvisor_lease_ttl_seconds                    gauge      -                    how long may nobody own it?
//
// The subscribers, and this one:
//
//	taskvisor_subscriber_queue_length              gauge      subscriber           slow sink?
//	taskvisor_subscriber_queue_capacity            gauge      subscriber           slow sink?
//	taskvisor_subscriber_events_total              counter    subscriber           does it get anything?
//	taskvisor_subscriber_events_dropped_total      counter    subscriber, kind     are logs lossy?
//	taskvisor_subscriber_panics_total              counter    subscriber           is a subscriber broken?
//	taskvisor_subscriber_failures_total            counter    subscriber           do logs arrive?
//	taskvisor_metrics_overflow_tasks               gauge      -                    is the limit of tasks hit?
//
// # Labels
//
//	task     name of the task, its kind where taskvisor.WithKind gave it one, or what
//	         WithTaskLabel makes of these; "_other" beyond WithMaxTasks
//	result   of an attempt: success, failure, fatal, timeout, panic, canceled;
//	         of a submission: started, queued, joined, rejected
//	outcome  of a task: completed, failed, fatal, canceled, abandoned
//	state    of a task: pending, running, backoff, waiting, paused, stopping, abandoned;
//	         of the supervisor: running, draining, stopped;
//	         of a slot: admitting, running, terminating, abandoned
//	restart  policy of a task: never, on_failure, always, scheduled
//	cause    of a restart: success, failure, requested, triggered; of a stop: shutdown,
//	         removed, replaced
//	gate     what the gate calls itself
//	policy   of a submission: queue, replace, drop_if_running, coalesce, join
//	reason   already_exists, slot_busy, queue_full, superseded, too_many_tasks, removed,
//	         shutting_down; of a lease's loss: deadline, stolen, abandoned
//	mode     of a lease: singleton, shard, slot
//	kind     of an event, as taskvisor.EventKind names it
//
// There is no label for ids, attempt numbers, keys of slots and leases, or errors: their
// values have no bound.
//
// # Reading them
//
// A task that runs for as long as the process does has one attempt that never
// ends: nothing in task_attempts_total or the durations speaks of its health.
// Look at task_state, and at task_restarts_total, which should be flat. The
// health of a periodic task is the age of its last success. Count attempts with
// task_attempts_total, which is at zero for every result from the moment that a
// task is added; a duration's series begins with its first attempt, except for
// successes. Counters and histograms say when they were created, so that a
// Prometheus with --enable-feature=created-timestamp-zero-ingestion sees what
// happened before its first scrape: the only failure of a short task, for one.
//
// A metric that has no meaning yet is absent and not 0: no time of the last
// success before the first, no limit where there is none. The metrics of a
// subscriber's queue are there for queued subscribers only.
//
// # Life of a series
//
// When the last task with a label is removed, its gauges go at once. Its
// counters and histograms stay for a grace, so that what it did last is still
// scraped, and continue where they were if a task of that label is added
// meanwhile. See [WithSeriesGrace] and [WithMaxTasks]. The series of a supervisor
// stay until [Subscriber.Close] and that grace, and continue if another one of its
// name is made before they are gone, as by a task that makes its own supervisor.
//
// What nobody uses has no series: those of gates, of admission, of leases and of lost
// events begin with the first use, and say that they were created before.
//
// Where thousands of tasks have series of their own, serve [Subscriber.Gatherer] instead
// of a registry.
//
// [WithLeases] names the owners of leases, since no event of a supervisor tells of these:
// what happens is counted as the owners tell it, who has what is read from them when it
// is scraped. taskvisor_lease_margin_seconds is the least since the last scrape but one,
// so that of two servers that scrape a process each misses nothing.
package promsub
