package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

func TestGoodRunPasses(t *testing.T) {
	f := goodBook().facts()
	for _, p := range phases {
		for _, c := range p.checks {
			if err := c.Run(t.Context(), f); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}

// TestChecksSeeWhatIsWrong: every check fails for the fault it is there for, and no
// check is without such a fault.
func TestChecksSeeWhatIsWrong(t *testing.T) {
	checks := map[string]check{}
	for _, p := range phases {
		for _, c := range p.checks {
			if _, twice := checks[c.Name]; twice {
				t.Errorf("two checks are called %q", c.Name)
			}
			checks[c.Name] = c
		}
	}
	tried := map[string]bool{}
	for _, table := range []map[string]spoil{coreSpoils, seriesSpoils, spanSpoils, logSpoils} {
		for fault, s := range table {
			c, ok := checks[s.check]
			if !ok {
				t.Errorf("%s: there is no check %q", fault, s.check)
				continue
			}
			tried[s.check] = true
			f := goodBook().facts()
			s.do(f)
			if c.Run(t.Context(), f) == nil {
				t.Errorf("%s: %q does not see it", fault, s.check)
			}
		}
	}
	for name := range checks {
		if !tried[name] {
			t.Errorf("no fault is tried on %q", name)
		}
	}
}

// TestKnownFaultsAreChecks: a name that no check has would excuse nothing, silently.
func TestKnownFaultsAreChecks(t *testing.T) {
	for name, reason := range knownFaults {
		if reason == "" || !slices.ContainsFunc(phases, func(p phase) bool {
			return slices.ContainsFunc(p.checks, func(c check) bool { return c.Name == name })
		}) {
			t.Errorf("%q is no check, or has no reason", name)
		}
	}
}

type spoil struct {
	check string
	do    func(f *facts)
}

// named returns the first task of that name.
func named(f *facts, name string) *ledger.Task {
	i := slices.IndexFunc(f.book.Tasks, func(t *ledger.Task) bool { return t.Name == name })
	return f.book.Tasks[i]
}

var coreSpoils = map[string]spoil{
	"half of a delay": {"delays are those of the policies", func(f *facts) { named(f, "flaky").Attempts[1].Waited /= 2 }},
	"a retry too many": {"delays are those of the policies", func(f *facts) {
		t := named(f, "doomed")
		t.Attempts = append(t.Attempts, t.Attempts[0])
	}},
	"a timeout that is late": {"timeouts come when they are due, and none is missed", func(f *facts) {
		a := named(f, "hanging").Attempts[0]
		a.CanceledAt = a.Started.Add(time.Second)
	}},
	"a timeout that is missed": {"timeouts come when they are due, and none is missed", func(f *facts) {
		a := named(f, "hanging").Attempts[1]
		a.Ended = a.Started.Add(340 * ms)
	}},
	"a timeout that is early": {"timeouts come when they are due, and none is missed", func(f *facts) {
		a := named(f, "hanging").Attempts[0]
		a.CanceledAt = a.Opened.Add(290 * ms)
	}},
	"a delay that is late": {"delays are those of the policies", func(f *facts) { named(f, "flaky").Attempts[1].Waited += 30 * ms }},
	"a body that outlasts its attempt": {"the ledger's readings of an attempt are in their order", func(f *facts) {
		a := named(f, "steady").Attempts[5]
		a.Closed = a.Ended.Add(-ms)
	}},
	"a retry too few": {"a task has as many attempts as its policy allows", func(f *facts) {
		t := named(f, "giving-up")
		t.Attempts = t.Attempts[:1]
	}},
	"two at once": {"attempts of one task never overlap", func(f *facts) { named(f, "steady").Attempts[5].Waited = -ms }},
	"a permit too many": {"no more attempts run at once than there are permits", func(f *facts) {
		f.book.Supervisors[1].Limit = 2
	}},
	"another outcome": {"tasks end as they have to", func(f *facts) { named(f, "doomed").Heard = "failed" }},
	"a refused one ran": {"tasks end as they have to", func(f *facts) {
		named(f, "q3").Attempts = named(f, "q1").Attempts
	}},
	"a slot with two": {"slots are handed over only when their owner has ended", func(f *facts) {
		named(f, "q2").Attempts[0].Started = epoch.Add(time.Second)
	}},
	"no panic at all": {"every result was caused", func(f *facts) {
		for _, a := range named(f, "panicking").Attempts {
			a.How = ledger.ReturnedNil
		}
	}},
}

// nudge changes the last value of the first series of a metric that has the labels.
func nudge(name string, by float64, labels ...string) func(f *facts) {
	return func(f *facts) {
		for _, s := range f.series[name] {
			if matches(s.Labels, labels) && len(s.Points) > 0 {
				s.Points[len(s.Points)-1].Value += by
				return
			}
		}
		panic("no such series: " + name)
	}
}

// shift changes every value of a metric that is not zero.
func shift(name string, by float64) func(f *facts) {
	return func(f *facts) {
		for _, s := range f.series[name] {
			for i := range s.Points {
				if s.Points[i].Value != 0 {
					s.Points[i].Value += by
				}
			}
		}
	}
}

func matches(all map[string]string, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if all[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

var seriesSpoils = map[string]spoil{
	"an attempt too few":      {"attempts by task and result agree", nudge("task_attempts_total", -1, "task", "flaky")},
	"a result without series": {"every result of every task was there at 0 before", func(f *facts) { f.series["task_attempts_total"] = f.series["task_attempts_total"][1:] }},
	"a duration too many":     {"durations by task and result: as many as attempts (classic)", nudge("task_attempt_duration_seconds_count", 1, "task", "flaky")},
	"a sum that is double":    {"durations by task and result: the sums agree (classic)", nudge("task_attempt_duration_seconds_sum", 12, "task", "flaky")},
	"a native sum": {"durations by task and result: count and sum agree (native)", func(f *facts) {
		p := f.series["task_attempt_duration_seconds"][0].Points
		p[len(p)-1].Sum *= 2
	}},
	"a native count":            {"durations by task and result: count and sum agree (native)", nudge("task_attempt_duration_seconds", 1)},
	"one in the wrong bucket":   {"every bucket holds the durations that belong to it", nudge("task_attempt_duration_seconds_bucket", -1, "task", "steady", "le", "1")},
	"a restart of another kind": {"restarts by task and cause agree", nudge("task_restarts_total", 1, "task", "flaky", "cause", "requested")},
	"a triggered restart by its policy": {"restarts by task and cause agree", func(f *facts) {
		nudge("task_restarts_total", -1, "task", "triggered", "cause", "triggered")(f)
		nudge("task_restarts_total", 1, "task", "triggered", "cause", "success")(f)
	}},
	"half of the backoff":      {"seconds in backoff agree", nudge("task_backoff_seconds_total", -24, "task", "flaky")},
	"a task too many":          {"tasks added and removed agree", nudge("tasks_added_total", 1)},
	"a task that stays":        {"tasks added and removed agree", nudge("tasks_removed_total", -1)},
	"another outcome":          {"tasks by outcome agree", nudge("tasks_finished_total", 1, "outcome", "fatal")},
	"nobody abandoned":         {"abandoned attempts by cause agree", nudge("attempts_abandoned_total", -1)},
	"a subscriber that panics": {"no subscriber lost an event or panicked", nudge("subscriber_panics_total", 1)},
	"a start that is late":     {"the start of the attempt that runs", shift("task_attempt_start_timestamp_seconds", .2)},
	"a success that is late":   {"the time of the last success", shift("task_last_success_timestamp_seconds", .2)},
	"no last success": {"the time of the last success", func(f *facts) {
		delete(f.series, "task_last_success_timestamp_seconds")
	}},
	"a start that is early": {"the time of the next start", shift("task_next_start_timestamp_seconds", -.2)},
	"a longer streak":       {"failures in a row", shift("task_consecutive_failures", 1)},
	"a longer delay":        {"the delay of the backoff", shift("task_backoff_delay_seconds", .1)},
	"another state": {"the state of each task", func(f *facts) {
		for _, s := range f.series["task_state"] {
			if s.Labels["state"] == "waiting" {
				s.Labels["state"] = "backoff"
			}
		}
	}},
	"a task that nobody added": {"registered tasks", shift("tasks", 1)},
	"a permit that leaks":      {"permits in use", shift("concurrency_in_use", 10)},
	"another limit":            {"the limit of permits", nudge("concurrency_limit", 1, "supervisor", "beta")},
	"never stuck":              {"stuck attempts", shift("stuck_attempts", -1)},
	"never abandoned":          {"abandoned attempts", shift("abandoned_attempts", -1)},
	"a long shutdown":          {"the supervisors' states and shutdowns", nudge("shutdown_duration_seconds", 1)},
	"a shutdown before":        {"the supervisors' states and shutdowns", nudge("shutdown_start_timestamp_seconds", -1)},
	"a submission too many":    {"submissions by policy and answer agree", nudge("admission_requests_total", 1)},
	"a refusal too few":        {"refusals by reason agree", nudge("admission_rejections_total", -1)},
	"a wait too many":          {"one wait was observed for each task from a slot, and they add up", nudge("admission_wait_seconds_count", 1)},
	"a wait too long":          {"one wait was observed for each task from a slot, and they add up", nudge("admission_wait_seconds_sum", 1)},
	"a queue too long":         {"the longest queue", shift("slot_queue_length_max", 1)},
	"a slot too many":          {"slots in use", shift("slots", 1)},
	"an exemplar of another": {"every exemplar leads to an attempt of its task and result, with its value", func(f *facts) {
		f.exemplars[1].Labels, f.exemplars[200].Labels = f.exemplars[200].Labels, f.exemplars[1].Labels
	}},
	"an exemplar of nobody": {"every exemplar leads to an attempt of its task and result, with its value", func(f *facts) {
		f.exemplars[0].Labels = map[string]string{"trace_id": "1", "span_id": "2"}
	}},
	"an exemplar with another value": {"every exemplar leads to an attempt of its task and result, with its value", func(f *facts) { f.exemplars[0].Value *= 2 }},
	"an exemplar of another time":    {"every exemplar leads to an attempt of its task and result, with its value", func(f *facts) { f.exemplars[0].At = epoch }},
	"the wrong bucket":               {"exemplars are in the bucket of their value", func(f *facts) { f.exemplars[0].Series["le"] = ".01" }},
	"no exemplar of a panic": {"the last failure of each kind has an exemplar", func(f *facts) {
		f.exemplars = slices.DeleteFunc(f.exemplars, func(x ask.Exemplar) bool { return x.Series[labelResult] == "panic" })
	}},
	"no exemplar of a resident": {"a resident's failures have exemplars, which lead to one of its spans", func(f *facts) {
		f.exemplars = slices.DeleteFunc(f.exemplars, func(x ask.Exemplar) bool { return x.Series["task"] == "resident" })
	}},
}

// edit changes the span of attempt n, from 1, of a task.
func edit(name, task, n string, do func(s *ask.Span)) func(f *facts) {
	return func(f *facts) {
		for i := range f.spans.All {
			if s := &f.spans.All[i]; s.Name == name+task && s.Attrs[attrNumber] == n {
				s.Attrs = maps.Clone(s.Attrs)
				do(s)
				f.spans = ask.Index(f.spans.All)
				return
			}
		}
		panic("no such span: " + task)
	}
}

func run(task, n string, do func(s *ask.Span)) func(f *facts) { return edit(spanRun, task, n, do) }

func set(key, value string) func(s *ask.Span) {
	return func(s *ask.Span) {
		if s.Attrs[key] = value; value == "" {
			delete(s.Attrs, key)
		}
	}
}

const seesSpan = "every attempt has the span that its body saw, with its name, task, number and result"

var spanSpoils = map[string]spoil{
	"another result": {seesSpan, run("hanging", "1", set(attrResult, "failure"))},
	"another number": {seesSpan, run("steady", "7", set(attrNumber, "8"))},
	"another name":   {seesSpan, run("steady", "7", func(s *ask.Span) { s.Name = "run" })},
	"a lost span":    {seesSpan, run("steady", "7", func(s *ask.Span) { s.ID = "lost" })},
	"a second span": {"there is one span for each attempt, and no other", func(f *facts) {
		f.spans.All = append(f.spans.All, f.spans.ByID[named(f, "steady").Attempts[0].Span.ID])
	}},
	"a long span":                    {"spans begin and end with their attempts", run("steady", "7", func(s *ask.Span) { s.Ended = s.Ended.Add(time.Second) })},
	"a span that is late":            {"spans begin and end with their attempts", run("steady", "7", func(s *ask.Span) { s.Began, s.Ended = s.Began.Add(20*ms), s.Ended.Add(20*ms) })},
	"a failure that is ok":           {"failures have the status error with their text and type, others have none", run("flaky", "1", func(s *ask.Span) { s.IsError = false })},
	"a stop that is not ok":          {"failures have the status error with their text and type, others have none", run("stopped", "2", func(s *ask.Span) { s.IsError = true })},
	"another text":                   {"failures have the status error with their text and type, others have none", run("flaky", "1", func(s *ask.Span) { s.StatusText = "failed" })},
	"another type":                   {"failures have the status error with their text and type, others have none", run("hanging", "1", set(attrErrorType, "error"))},
	"no exception":                   {"a panic has an exception with the stack of the panic, others have none", run("panicking", "1", func(s *ask.Span) { s.Events = nil })},
	"another stack":                  {"a panic has an exception with the stack of the panic, others have none", run("panicking", "1", func(s *ask.Span) { s.Events[0].Attrs[attrStack] = "main.main()" })},
	"another timeout":                {"timeout, delays and the admission are on the span", run("hanging", "1", set(attrTimeout, "1"))},
	"another backoff":                {"timeout, delays and the admission are on the span", run("flaky", "1", set(attrBackoff, "0.2"))},
	"no delay before":                {"timeout, delays and the admission are on the span", run("flaky", "2", set(attrDelay, ""))},
	"no policy":                      {"timeout, delays and the admission are on the span", run("q2", "1", set(attrPolicy, ""))},
	"another wait":                   {"timeout, delays and the admission are on the span", run("q2", "1", set(attrWait, "0"))},
	"another cause":                  {"a stopped attempt has the cause", run("stopped", "2", set(attrCause, "shutdown"))},
	"a cause of nothing":             {"a stopped attempt has the cause", run("steady", "2", set(attrCause, "shutdown"))},
	"no cause of its own":            {"a task that ended itself has a cause on its span", run("quitting", "1", set(attrCause, ""))},
	"a loss in silence":              {"what a stopped body could not finish is on its span", run("torn", "2", set(attrCauseError, ""))},
	"one id for two":                 {"each task has an id of its own", run("flaky", "1", set(attrTaskID, "1"))},
	"no start":                       {"a resident attempt has a span at its start and one at its end", edit(spanStart, "resident", "1", func(s *ask.Span) { s.Name = "" })},
	"an end without a link":          {"a resident attempt has a span at its start and one at its end", run("resident", "1", func(s *ask.Span) { s.Links = nil })},
	"an abandoned one that lasts":    {"an abandoned attempt has a span that ends when it was given up", run("deaf", "1", func(s *ask.Span) { s.Ended = s.Ended.Add(time.Hour) })},
	"an abandoned one with a result": {"an abandoned attempt has a span that ends when it was given up", run("deaf", "1", set(attrResult, "success"))},
	"a return without a link":        {"an abandoned attempt has a span that ends when it was given up", edit(spanReturn, "deaf", "1", func(s *ask.Span) { s.Links = nil })},
	"a parent that is nowhere":       {"no span is an orphan", run("flaky", "2", func(s *ask.Span) { s.Parent = "gone" })},
	"a link into nowhere":            {"every link leads to a span", run("flaky", "2", func(s *ask.Span) { s.Links[0].ID = "gone" })},
	"a retry as a root":              {"an attempt is a root, or the child of the first of its streak in the same trace", run("flaky", "2", func(s *ask.Span) { s.Parent = "" })},
	"a run below another":            {"an attempt is a root, or the child of the first of its streak in the same trace", run("steady", "2", func(s *ask.Span) { s.Parent = "1" })},
	"33 in a trace": {"an attempt is a root, or the child of the first of its streak in the same trace", func(f *facts) {
		first := named(f, "looping").Attempts[0].Span.ID
		run("looping", "33", func(s *ask.Span) { s.Parent = first })(f)
	}},
	"no link to the one before": {"an attempt has the links that it has to have, and no other", run("flaky", "2", func(s *ask.Span) { s.Links = nil })},
	"one link twice":            {"an attempt has the links that it has to have, and no other", run("flaky", "2", func(s *ask.Span) { s.Links = append(s.Links, s.Links[0]) })},
	"no link to the full trace": {"an attempt has the links that it has to have, and no other", run("looping", "33", func(s *ask.Span) { s.Links = s.Links[:1] })},
	"work on its own": {"the spans that bodies make nest in their attempt's", func(f *facts) {
		id := named(f, "steady").Attempts[3].Work.ID
		s := f.spans.ByID[id]
		s.Parent = ""
		f.spans.ByID[id] = s
	}},
	"no long streak": {"a streak longer than a trace was seen", func(f *facts) { named(f, "looping").Attempts[20].How = ledger.ReturnedNil }},
}

// change changes the first line of the log with the message that is about a task.
func change(msg, task string, do func(l line)) func(f *facts) {
	return func(f *facts) {
		for i, l := range f.log {
			if strings.HasPrefix(l.msg(), msg) && (task == "" || l.text("task") == task) {
				f.log[i] = maps.Clone(l)
				do(f.log[i])
				return
			}
		}
		panic("no such line: " + msg)
	}
}

func to(key string, v any) func(l line) { return func(l line) { l[key] = v } }

const failureLine = "every failure makes a line with its task, attempt, result, error and duration"

var logSpoils = map[string]spoil{
	"a failure in silence":  {failureLine, change("attempt failed", "flaky", to("msg", "?"))},
	"another error":         {failureLine, change("attempt failed", "flaky", to("error", "?"))},
	"another duration":      {failureLine, change("attempt failed", "flaky", to("duration", 600e6))},
	"another result":        {failureLine, change("attempt failed", "hanging", to(keyResult, "failure"))},
	"no id":                 {failureLine, change("attempt failed", "flaky", to("task_id", nil))},
	"a panic as a warning":  {"panics and fatal failures are errors, others that are retried warnings", change("attempt failed", "panicking", to("level", levelWarn))},
	"a failure as an error": {"panics and fatal failures are errors, others that are retried warnings", change("attempt failed", "flaky", to("level", levelError))},
	"no trace":              {"lines about an attempt carry the trace and the span that its body saw", change(msgStarted, "steady", to("trace_id", ""))},
	"another stack":         {"a panic's line has the stack of the panic", change("attempt failed", "panicking", to("stack", "main.main()"))},
	"no retry":              {"a failure's line says when the retry is due", change("attempt failed", "flaky", to("delay", nil))},
	"another delay":         {"a failure's line says when the retry is due", change("attempt failed", "flaky", to("delay", 1e6))},
	"a retry of the last":   {"a failure's line says when the retry is due", change("task failed", "doomed", to("delay", 1e6))},
	"two lines at the end": {"a fatal failure makes one error line", func(f *facts) {
		f.log = append(f.log, f.log[slices.IndexFunc(f.log, func(l line) bool { return l.text("task") == "doomed" && l.number("attempt") == 2 && l["error"] != nil })])
	}},
	"a warning at the end":     {"the end of the retries makes one line with the failure", change("task failed", "giving-up", to("level", levelWarn))},
	"a start in silence":       {"starts and successes are told at Debug, each once", change(msgStarted, "steady", to("msg", "?"))},
	"a loud success":           {"starts and successes are told at Debug, each once", change(msgSucceeded, "steady", to("level", levelInfo))},
	"a timeout in silence":     {"timeouts are told when they happen", change(msgTimeout, "hanging", to("msg", "?"))},
	"a loss at Debug":          {"what a stopped body could not finish is a warning", change("stopped attempt", "torn", to("level", levelDebug))},
	"a reason at Debug":        {"why a task ended itself is heard", change("task ended", "quitting", to("level", levelDebug))},
	"stuck without a stack":    {"every report of a stuck attempt has the stack of where it is", change(msgStuck, "stubborn", to("stack", ""))},
	"stuck in silence":         {"stuck attempts are errors, each told once", change(msgStuck, "stubborn", to("msg", "?"))},
	"stuck as a warning":       {"stuck attempts are errors, each told once", change(msgStuck, "stubborn", to("level", levelWarn))},
	"stuck but not":            {"stuck attempts are errors, each told once", change(msgStarted, "steady", to("msg", msgStuck))},
	"abandoned in silence":     {"abandoned tasks are errors", change(msgAbandoned, "deaf", to("msg", "?"))},
	"a refusal without reason": {"refused submissions are told with their reason, at a level that fits it", change(refusalMessages[0], "q3", to("reason", ""))},
	"a refusal at Info":        {"refused submissions are told with their reason, at a level that fits it", change(refusalMessages[0], "q3", to("level", levelInfo))},
	"another end":              {"tasks come and go at Info", change(msgRemoved, "doomed", to("outcome", "failed"))},
	"another verdict":          {"the end of a supervisor is told", change(msgGrace, "", to("msg", msgComplete))},
	"a demand not told":        {"each demand for one more attempt is told at Info", change(msgTriggered, "triggered", to("msg", "task added"))},
	"an error of nobody":       {"there are no errors but those of the script", change(msgAdded, "steady", func(l line) { l["level"], l["msg"] = levelError, "subscriber panicked" })},
	"another key":              {"lines have no other keys than those that are documented", change(msgAdded, "steady", to("Task", "steady"))},
	"a failure not accounted for": {"the suppressed log accounts for every failure", func(f *facts) {
		i := slices.IndexFunc(f.short, func(l line) bool { return l.number("suppressed") > 0 })
		f.short[i] = maps.Clone(f.short[i])
		f.short[i]["suppressed"] = f.short[i].number("suppressed") - 1
	}},
	"a last failure told twice": {"the suppressed log accounts for every failure of tasks that it ended", func(f *facts) {
		f.short = append(f.short, f.short[slices.IndexFunc(f.short, func(l line) bool { return l.text("task") == "doomed" && l["error"] != nil })])
	}},
	"a flood": {"the suppressed log is short, and tells of every failing task", func(f *facts) {
		one := f.short[slices.IndexFunc(f.short, func(l line) bool { return l.text("task") == "flaky" && l["error"] != nil })]
		for range 50 {
			f.short = append(f.short, one)
		}
	}},
	"a task that is not told of": {"the suppressed log is short, and tells of every failing task", func(f *facts) {
		f.short = slices.DeleteFunc(f.short, func(l line) bool { return l.text("task") == "panicking" })
	}},
}
