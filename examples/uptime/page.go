package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

//go:embed page.html
var pageText string

// pageTemplate escapes whatever it is given by the place where it stands.
var pageTemplate = template.Must(template.New("page").Parse(pageText))

// view is what the page shows.
type view struct {
	Supervisor, State, Events string
	Up, Down                  int
	Targets                   []row // in the order of the command line
	Others                    []row // checks and notifications that exist now
	Slots                     []taskvisor.SlotStatus
	Subscribers               []subscriberSummary
}

// row is one task.
type row struct {
	Name, Shown, Class    string
	State, Since          string
	Attempt, Streak       int
	Good, Error           string
	LastSuccess, Next     string
	Policy                string
	Stuck, Ended, Watched bool
}

// page serves the status page.
func (a *app) page(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, a.view(a.sup.Snapshot())); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes())
}

func (a *app) view(s taskvisor.Snapshot) view {
	v := view{Supervisor: s.Supervisor, State: s.State.String(), Events: fmt.Sprint(s.Seq), Slots: s.Slots}
	v.Subscribers = a.tally.summary(s).Subscribers
	live := map[string]taskvisor.TaskStatus{}
	for _, t := range s.Tasks {
		if _, watched := a.targets[t.Name]; watched {
			live[t.Name] = t
		} else {
			v.Others = append(v.Others, statusRow(t, s.Time))
		}
	}
	for _, name := range a.order {
		var r row
		if t, ok := live[name]; ok {
			r = statusRow(t, s.Time)
		} else {
			r = a.endedRow(name, s.Time)
		}
		r.Watched, r.Shown = true, a.targets[name].shown.String()
		if good, all := a.tally.good(name); all > 0 {
			r.Good = fmt.Sprintf("%.1f %% of %d", 100*float64(good)/float64(all), all)
		}
		if r.Class == "up" {
			v.Up++
		} else if r.Class == "down" {
			v.Down++
		}
		v.Targets = append(v.Targets, r)
	}
	return v
}

// statusRow describes a registered task as of now.
func statusRow(t taskvisor.TaskStatus, now time.Time) row {
	r := row{
		Name: t.Name, State: t.State.String(), Since: ago(now, t.Since), Attempt: t.Attempt, Streak: t.Streak,
		Error: text(t.LastErr), LastSuccess: ago(now, t.LastSuccess), Policy: policyText(t.Spec), Stuck: t.Stuck,
	}
	if !t.NextStart.IsZero() {
		r.Next = "in " + round(t.NextStart.Sub(now)).String()
	}
	switch {
	case t.Streak > 0 || t.Stuck || t.State == taskvisor.StateAbandoned:
		r.Class = "down"
	case !t.LastSuccess.IsZero():
		r.Class = "up"
	}
	return r
}

// endedRow describes a target that has no task any more.
func (a *app) endedRow(name string, now time.Time) row {
	r := row{Name: name, State: "not started", Ended: true}
	if e, ok := a.tally.ending(name); ok {
		r.State, r.Since, r.Attempt, r.Error = e.Outcome, ago(now, e.At), e.Attempts, e.Error
		if e.Outcome != taskvisor.OutcomeCanceled.String() {
			r.Class = "down"
		}
	}
	return r
}

// policyText is the spec without the name, which the page shows elsewhere.
func policyText(s taskvisor.TaskSpec) string {
	return s.String()[len(s.Name())+len(": "):]
}

func ago(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return round(now.Sub(then)).String() + " ago"
}

// round cuts a duration to what a person reads at a glance.
func round(d time.Duration) time.Duration {
	switch d = max(d, 0); {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
