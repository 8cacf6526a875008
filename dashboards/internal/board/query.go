package board

import (
	"fmt"
	"strings"
)

// filters select what the variables at the top of a board say.
const taskOf = "{{task}} of {{supervisor}}" // which legends name, since equal names are not one task

const (
	targets = `cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance", pod=~"$pod"`
	filters = targets + `, supervisor=~"$supervisor"`
	// What is recorded has neither instance nor pod.
	serviceFilters = `cluster=~"$cluster", namespace=~"$namespace", job=~"$job", supervisor=~"$supervisor", task=~"$task"`

	taskFilters = filters + `, task=~"$task"`
	service     = "cluster, namespace, job, supervisor" // the same program, on however many instances
	oneOf       = "cluster, namespace, job, instance, supervisor"
	identity    = oneOf + ", task" // what tells one task from all others
	ofService   = service + ", task"
	bad         = `result=~"failure|fatal|timeout|panic"`
	judged      = `result!="canceled"` // a cancellation by us says nothing about the work
)

// of selects a metric of a supervisor, of the tasks that the board shows.
func of(metric string, matchers ...string) string { return selector(metric, filters, matchers) }

// ofTask selects a metric of a task.
func ofTask(metric string, matchers ...string) string { return selector(metric, taskFilters, matchers) }

func selector(metric, filters string, matchers []string) string {
	return fmt.Sprintf("taskvisor_%s{%s}", metric, strings.Join(append([]string{filters}, matchers...), ", "))
}

// rate is the increase per second of a counter around each point of a graph.
func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

// total is the increase of a counter over the whole time that the board shows.
func total(selector string) string { return "increase(" + selector + "[$__range])" }

func sum(expr string, by ...string) string {
	if len(by) == 0 {
		return "sum(" + expr + ")"
	}
	return fmt.Sprintf("sum by (%s) (%s)", strings.Join(by, ", "), expr)
}

func average(expr, by string) string { return fmt.Sprintf("avg by (%s) (%s)", by, expr) }

func top10(expr string) string { return "topk(10, " + expr + ")" }

// worst10 keeps ten series of a graph, the same at each of its points: those for which
// the rank, asked for once, at the end of the time shown, is highest. topk over the
// graph itself would draw whatever was among ten at any point.
func worst10(expr, by, rank string) string {
	return fmt.Sprintf("%s and on (%s) topk(10, %s)", expr, by, rank)
}

// sofar is a function over the whole time that a graph shows, for the rank of its lines.
func sofar(function, selector string) string {
	return function + "(" + selector + "[$__range] @ end())"
}

// only keeps the tasks of expr for which condition has a value.
func only(expr, condition string) string {
	return fmt.Sprintf("%s and on (%s) %s", expr, identity, condition)
}

// since is how long ago a time was; empty where there is none.
func since(selector string) string { return "(time() - " + selector + ")" }

// until is how far off a time was when it was scraped. Taken from now instead,
// short delays would seem overdue by the age of the scrape.
func until(selector string) string { return "(" + selector + " - timestamp(" + selector + "))" }

// quantile works with classic histograms, native ones, and both at once: the
// part after "or" is used where the first has no value. What nothing was
// observed of, which is not a number, is left out.
func quantile(q float64, native string, by ...string) string {
	name, labels, _ := strings.Cut(native, "{")
	classic := name + "_bucket{" + labels
	return fmt.Sprintf("(histogram_quantile(%g, %s) or histogram_quantile(%g, %s)) >= 0",
		q, sum(rate(native), by...), q, sum(rate(classic), append(by, "le")...))
}

// code turns a set of series, one for each state, into one series whose value is the
// number of the state that holds, from 1. Where tasks share a label and several hold, it
// is the last of them in the order of states, which is the one to look at.
func code(of func(matcher string) string, states []state, by string) string {
	terms := make([]string, len(states))
	for i, s := range states {
		terms[i] = fmt.Sprintf("(%s > bool 0) * %d", of(`state="`+s.label+`"`), i+1)
	}
	return fmt.Sprintf("max by (%s) (%s)", by, strings.Join(terms, " or "))
}
