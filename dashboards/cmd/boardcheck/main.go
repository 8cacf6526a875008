// Command boardcheck asks a Prometheus server everything that the boards, the
// recording rules and the alerts ask, and fails if one of them gets no answer.
// It is run at the end of a run of the demo app in which everything happens that
// the boards show. What cannot happen there is excused, with the reason.
//
//	boardcheck -prometheus http://127.0.0.1:9090 -range 5m
//
// With -quiet it holds the opposite for alerts: none may have fired in the
// range, as after a healthy run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/board"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/boardfile"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

// options say what to ask whom.
type options struct {
	module string        // directory with the boards and rules
	server string        // URL of Prometheus
	window time.Duration // how far back the run began
	rate   time.Duration // value of $__rate_interval
	quiet  bool          // alerts must have no answer
}

func main() {
	var o options
	flag.StringVar(&o.module, "dir", ".", "`directory` with the boards and rules")
	flag.StringVar(&o.server, "prometheus", "http://127.0.0.1:9090", "`URL` of the server")
	flag.DurationVar(&o.window, "range", 15*time.Minute, "how far back the run began")
	flag.DurationVar(&o.rate, "rate-interval", 30*time.Second, "value of $__rate_interval, at least four scrape intervals")
	flag.BoolVar(&o.quiet, "quiet", false, "ask only the alerts, none of which may have fired")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "boardcheck:", err)
		os.Exit(1)
	}
}

// run asks everything and writes one line for each question.
func run(ctx context.Context, o options, out io.Writer) error {
	all, err := questions(o)
	if err != nil {
		return err
	}
	c := client{server: strings.TrimSuffix(o.server, "/"), end: time.Now(), window: o.window}
	r := report{out: out}
	for _, q := range all {
		n, err := q.ask(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w\n\t%s", q.where, err, q.text)
		}
		r.add(q, n)
	}
	fmt.Fprintf(out, "%d questions: %d answered, %d excused, %d wrong\n", len(all), r.answered, r.excused, r.wrong)
	if r.wrong > 0 {
		return fmt.Errorf("%d of %d questions got the wrong answer", r.wrong, len(all))
	}
	return nil
}

// question is something that must have an answer, or with empty must have none.
type question struct {
	where, text string
	empty       bool
	ask         func(context.Context, client) (series int, err error)
}

func questions(o options) ([]question, error) {
	loaded, err := rules.Load(filepath.Join(o.module, "rules"))
	if err != nil {
		return nil, err
	}
	var all []question
	if o.quiet {
		for _, a := range rules.Alerts(loaded) {
			all = append(all, firing(a.Alert))
		}
		return all, nil
	}
	for _, uid := range []string{board.OverviewUID, board.TaskUID} {
		b, err := boardfile.Load(filepath.Join(o.module, uid+".json"))
		if err != nil {
			return nil, err
		}
		all = append(all, ofBoard(b, o)...)
	}
	for _, r := range loaded {
		all = append(all, expression("rule / "+r.Name(), r.Expr))
	}
	return all, nil
}

func ofBoard(b boardfile.Board, o options) []question {
	variables := strings.NewReplacer(
		"$__rate_interval", seconds(o.rate), "$__interval", "15s", "$__range", seconds(o.window),
		"$supervisor", ".+", "$instance", ".+", "$task", ".+", "$job", ".+",
		"$cluster", ".*", "$namespace", ".*", "$pod", ".*")
	var all []question
	for _, q := range b.Queries() {
		all = append(all, expression(q.Where, variables.Replace(q.Expr)))
	}
	for _, p := range b.Panels {
		for _, t := range p.Targets {
			if t.Exemplar {
				all = append(all, exemplars(b.UID+" / "+p.Title+" / exemplars", variables.Replace(t.Expr)))
			}
		}
	}
	for _, v := range b.Templating.List {
		if definition, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			all = append(all, labelValues(b.UID+" / $"+v.Name, variables.Replace(strings.TrimSuffix(definition, ")"))))
		}
	}
	return all
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

// report counts answers.
type report struct {
	out                      io.Writer
	answered, excused, wrong int
}

func (r *report) add(q question, n int) {
	reason := excuses[q.where]
	switch {
	case q.empty && n > 0:
		r.wrong++
		fmt.Fprintf(r.out, "FIRED    %s: %d series\n", q.where, n)
	case q.empty || n > 0:
		r.answered++
		note := ""
		if reason != "" && !q.empty {
			note = " (would be excused)"
		}
		fmt.Fprintf(r.out, "ok %5d %s%s\n", n, q.where, note)
	case reason != "":
		r.excused++
		fmt.Fprintf(r.out, "excused  %s: %s\n", q.where, reason)
	default:
		r.wrong++
		fmt.Fprintf(r.out, "NOTHING  %s\n\t%s\n", q.where, strings.Join(strings.Fields(q.text), " "))
	}
}
