package main

// mutant is one deliberate fault of the product.
type mutant struct {
	name  string
	says  string // what is then wrong
	by    string // the check that notices it, whichever others do too
	edits []edit
}

// edit replaces a text, which occurs once in the file, relative to the repository.
type edit struct{ file, old, new string }

// mutants are the faults that the audit has to notice: three and more of the core and
// of each subscriber, of kinds that no count of the product's own events shows. When
// the product's source changes, this table is what has to follow.
var mutants = []mutant{
	{"core-timeouts", "every third timeout is called a failure", "attempts by task and result agree", []edit{{
		"taskvisor/internal/life/ending.go", "case m.timedOut:", "case m.timedOut && m.attempt%3 != 0:",
	}}},
	{"core-durations", "attempts are said to take twice as long as they do", "durations by task and result: the sums agree (classic)", []edit{{
		"taskvisor/attempt.go", "a.end.duration = time.Duration(now - a.start)", "a.end.duration = 2 * time.Duration(now-a.start)",
	}}},
	{"core-backoff", "the backoff is half of what the policy says", "delays are those of the policies", []edit{{
		"taskvisor/internal/life/ending.go", "AfterFailure, p.Backoff.base(n)", "AfterFailure, p.Backoff.base(n)/2",
	}}},
	{"core-triggered", "one more that was asked for is called what the policy calls it", "restarts by task and cause agree", []edit{{
		"taskvisor/internal/life/ending.go", "m.source, m.delay = Triggered, 0\n\t}\n\tif m.source != 0", "m.delay = 0\n\t}\n\tif m.source != 0",
	}}},

	{"prom-backoff", "half of the time in backoff is counted", "seconds in backoff agree", []edit{{
		"subscribers/prom/task.go", "backoff.Add(int64(spent))", "backoff.Add(int64(spent / 2))",
	}}},
	{"prom-restarts", "requested restarts are counted as failures", "restarts by task and cause agree", []edit{{
		"subscribers/prom/task.go", "restarts[e.Source].Add(1)", "restarts[min(e.Source, taskvisor.BackoffFailure)].Add(1)",
	}}},
	{"prom-exemplars", "an attempt gets the exemplar of the one before", "every exemplar leads to an attempt of its task and result, with its value", []edit{
		{"subscribers/prom/exemplar.go", "\texemplar = fit(labels(ctx))", "\texemplar, t.before = t.before, fit(labels(ctx))"},
		{"subscribers/prom/exemplar.go", "\tborn time.Time\n", "\tborn time.Time\n\tbefore prometheus.Labels\n"},
	}},
	{"prom-success", "the last success is when the task entered its state", "the time of the last success", []edit{{
		"subscribers/prom/scrape_tasks.go", "earlier(g.lastSuccess, t.LastSuccess)", "earlier(g.lastSuccess, t.Since)",
	}}},

	{"otel-links", "attempts are linked to the first of the streak instead of the one before", "an attempt has the links that it has to have, and no other", []edit{{
		"subscribers/otel/place.go", "at.links = link(at.links, t.prev, linkPrevious)", "at.links = link(at.links, t.first, linkPrevious)",
	}}},
	{"otel-parents", "a retry is below the attempt before it instead of the first of the streak", "an attempt is a root, or the child of the first of its streak in the same trace", []edit{{
		"subscribers/otel/place.go", "at.parent, at.joined = t.first, true", "at.parent, at.joined = t.prev, true",
	}}},
	{"otel-status", "a stop is an error", "failures have the status error with their text and type, others have none", []edit{{
		"subscribers/otel/span.go", "taskvisor.ResultTimeout, taskvisor.ResultPanic:\n\t\treturn true", "taskvisor.ResultTimeout, taskvisor.ResultPanic, taskvisor.ResultCanceled:\n\t\treturn true",
	}}},

	{"slog-context", "lines do not have the context of their attempt, hence no trace", "lines about an attempt carry the trace and the span that its body saw", []edit{{
		"subscribers/slog/subscriber.go", "s.handler.Handle(ctx, *r)", "s.handler.Handle(context.Background(), *r)",
	}}},
	{"slog-level", "a panic is a warning", "panics and fatal failures are errors, others that are retried warnings", []edit{{
		"subscribers/slog/level.go", "case taskvisor.ResultPanic, taskvisor.ResultFatal:\n\t\treturn slog.LevelError", "case taskvisor.ResultFatal:\n\t\treturn slog.LevelError\n\tcase taskvisor.ResultPanic:\n\t\treturn slog.LevelWarn",
	}}},
	{"slog-suppressed", "one failure in each flood is not accounted for", "the suppressed log accounts for every failure", []edit{{
		"subscribers/slog/story.go", "if t.last != nil {\n\t\tt.left++", "if t.last != nil {\n\t\tt.left = max(t.left+1, 2) - 1",
	}}},
}
