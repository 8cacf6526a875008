package livesub

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	maxCut     = 200             // bytes of an error in a row; the task's own page has all of it
	stacksWait = 3 * time.Second // for a fresh stack
	firstEnded = 12              // tasks that ended lately, on the page; JSON has all
)

// screen is what the templates are given. They escape whatever they print by the
// place where it stands.
type screen struct {
	*document
	Q             *query
	Acts          bool // this reader may act
	Live          bool // the view may be asked for again and again
	Many          bool // there are several supervisors
	Traces        bool
	Names         []filter // of the supervisors
	Views         []supervisorScreen
	Title         string
	Icon          string
	Style, Script string
	Message       string
}

// filter is a link to a part of what there is.
type filter struct {
	Label, Href, Class string
	Count              int
	Current            bool
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"ago":      func(t time.Time) template.HTML { return timeTag(t, false, time.Since(t)) },
	"in":       func(t time.Time) template.HTML { return timeTag(t, true, time.Until(t)) },
	"secs":     func(s float64) string { return short(seconds(s)) },
	"clock":    func(t time.Time) string { return t.Local().Format(time.TimeOnly) },
	"stamp":    func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -07:00") },
	"bars":     func(t *task) template.HTML { return bars(t.attempts) },
	"cut":      func(s string) string { return cut(s, maxCut) },
	"place":    func(s string) string { return path.Base(path.Dir(s)) + "/" + path.Base(s) },
	"bytes":    byteSize,
	"incident": func(id string) string { return "./incident?id=" + url.QueryEscape(id) },
}).ParseFS(assets, "assets/page.html"))

// timeTag is a time that the page's script goes on counting from.
func timeTag(t time.Time, ahead bool, shown time.Duration) template.HTML {
	var b [96]byte
	out := append(b[:0], "<time"...)
	if ahead {
		out = append(out, ` class="in"`...)
	}
	out = append(out, ` datetime="`...)
	out = t.UTC().AppendFormat(out, "2006-01-02T15:04:05.0Z07:00") // digits: nothing to escape
	out = append(append(append(out, `">`...), short(shown)...), `</time>`...)
	return template.HTML(out)
}

// index answers for the folder itself, in all three forms.
func (p *Page) index(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	d := p.view(&q)
	if q.stacks && d.Detail != nil && d.Detail.Ended == nil {
		p.addStacks(r.Context(), d)
	}
	_, acts := p.actor(r)
	if unchanged(w, r, d.tag(&q, acts)) {
		return
	}
	status := http.StatusOK
	if q.task != "" && d.Detail == nil {
		status = http.StatusNotFound
	}
	switch q.format {
	case "json":
		w.WriteHeader(status)
		sendJSON(w, r, d)
	case "text":
		w.WriteHeader(status)
		send(w, r, "text/plain; charset=utf-8", d.text())
	default:
		p.sendHTML(w, r, status, d, &q, acts)
	}
}

// addStacks captures the stacks of one task. Captures are rationed by the core, so
// those who wait for one are few.
func (p *Page) addStacks(ctx context.Context, d *document) {
	d.Skipped = true
	h := p.handle(order{supervisor: d.Detail.Supervisor, id: d.Detail.ID})
	select {
	case p.stacks <- struct{}{}:
		defer func() { <-p.stacks }()
	default:
		return
	}
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stacksWait)
	defer cancel()
	stacks, err := h.Stacks(ctx)
	d.Stacks, d.Skipped = stacks, err != nil
}

func (p *Page) sendHTML(w http.ResponseWriter, r *http.Request, status int, d *document, q *query, acts bool) {
	s := p.screen(d, q, acts)
	name := "index"
	if q.task != "" {
		name = "task"
	}
	var b bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&b, name, s); err != nil {
		refuse(w, http.StatusInternalServerError, "the page could not be made: "+err.Error())
		return
	}
	w.WriteHeader(status)
	send(w, r, "text/html; charset=utf-8", b.Bytes())
}

func (p *Page) screen(d *document, q *query, acts bool) *screen {
	s := &screen{document: d, Q: q, Acts: acts, Live: !q.stacks, Traces: p.labels != nil, Icon: "icon.svg",
		Style: styleTag, Script: scriptTag, Message: message(q)}
	names := []string{}
	for i := range d.Supervisors {
		names = append(names, d.Supervisors[i].Name)
		s.Views = append(s.Views, supervisorScreen{&d.Supervisors[i], s})
	}
	s.Many = len(names) > 1
	if s.Many || q.supervisor != "" {
		s.Names = append(s.Names, filter{Label: "all", Href: "./", Current: q.supervisor == ""})
		for _, n := range names {
			s.Names = append(s.Names, filter{Label: n, Href: q.link("supervisor", n), Current: n == q.supervisor})
		}
	}
	s.Title = strings.Join(names, ", ")
	if q.task != "" {
		s.Title = q.task
	}
	if s.Title = cut(s.Title, 60); s.Title == "" {
		s.Title = "taskvisor"
	}
	if d.NeedsTotal > 0 {
		s.Icon = "alarm.svg"
		s.Title = fmt.Sprintf("(%d) %s", d.NeedsTotal, s.Title)
	}
	return s
}

var styleTag, scriptTag = assetTag("style.css"), assetTag("live.js")

// confirm asks before an action that ends something.
func (p *Page) confirm(w http.ResponseWriter, r *http.Request, o order, task string) {
	var b bytes.Buffer
	err := pageTemplate.ExecuteTemplate(&b, "confirm", map[string]any{
		"Title": acts[o.act].Label + " " + task + "?", "Icon": "icon.svg", "Style": styleTag, "Script": scriptTag, "Live": false,
		"Act": acts[o.act], "Task": task, "Q": &query{},
		"Order": map[string]any{"Act": o.act, "ID": o.id, "Supervisor": o.supervisor, "Back": o.back},
	})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the page could not be made: "+err.Error())
		return
	}
	send(w, r, "text/html; charset=utf-8", b.Bytes())
}

// message says what the action did that led here.
func message(q *query) string {
	a, known := acts[q.done]
	switch {
	case !known:
		return ""
	case q.changed == "true":
		return "Done: " + a.Label + "."
	}
	return "Nothing changed: it was already so, or the task is past it (" + a.Label + ")."
}

// Link, Words and the like are for the templates.
func (q *query) Link(pairs ...string) string { return q.link(pairs...) }

// Task returns the name that was asked for.
func (q *query) Task() string { return q.task }

// Words returns the words of the filter.
func (q *query) Words() string { return q.words }

// Supervisor returns the supervisor that was asked for.
func (q *query) Supervisor() string { return q.supervisor }

// Still reports whether refreshing was turned off.
func (q *query) Still() bool { return q.still }

// Stacks reports whether stacks were asked for.
func (q *query) Stacks() bool { return q.stacks }

// TaskLink returns the address of a task's page.
func (s *screen) TaskLink(supervisor, name string) string {
	v := url.Values{"task": {name}}
	if s.Many || s.Q.supervisor != "" {
		v.Set("supervisor", supervisor)
	}
	return "./?" + v.Encode()
}

// Back returns the address of the view itself, for forms to come back to.
func (s *screen) Back() string { return s.Q.link() }

// Several returns the supervisor's name if the reader had chosen one.
func (s *screen) Several() string { return s.Q.supervisor }

// Filtered reports whether tasks are left out: then nothing else is of interest.
func (s *screen) Filtered() bool { return s.Q.filtered() || s.Q.at.given }

// StateParam returns the filter's state, as in the address.
func (s *screen) StateParam() string {
	if s.Q.needs {
		return needsFilter
	}
	return s.Q.state.String()
}

// supervisorScreen is one supervisor on the page.
type supervisorScreen struct {
	*supervisor
	Page *screen
}

// Filters returns the counts by state.
func (v supervisorScreen) Filters() []filter {
	q, name := v.Page.Q, ""
	if v.Page.Many {
		name = v.Name
	}
	link := func(state string) string {
		if name == "" {
			return q.link("state", state)
		}
		return q.link("state", state, "supervisor", name)
	}
	list := []filter{{Label: "all", Href: link(""), Count: v.Total, Current: !q.filtered()}}
	if v.needs > 0 {
		list = append(list, filter{Label: "needs somebody", Class: "now", Href: link(needsFilter), Count: v.needs, Current: q.needs})
	}
	for st := taskvisor.StatePending; st <= taskvisor.StateFinished; st++ {
		if n := v.Counts[st.String()]; n > 0 || q.state == st {
			list = append(list, filter{Label: st.String(), Class: "st " + st.String(), Href: link(st.String()), Count: n, Current: q.state == st})
		}
	}
	return list
}

// Hidden says how many tasks are not shown; "" if all are.
func (v supervisorScreen) Hidden() string {
	switch {
	case v.Matching == 0 && v.Total > 0:
		return "No task matches."
	case len(v.Tasks) < v.Matching && v.Page.Q.at.given:
		return fmt.Sprintf("%d of %d tasks are shown: filter to see others.", len(v.Tasks), v.Matching)
	case len(v.Tasks) < v.Matching:
		return fmt.Sprintf("%d of %d tasks are shown, those that need somebody first: filter to see others.", len(v.Tasks), v.Matching)
	}
	return ""
}

// NextLink returns the address of the next tasks; "" if there are none.
func (v supervisorScreen) NextLink() string {
	if v.Next == "" {
		return ""
	}
	return v.Page.Q.link("supervisor", v.Name, "after", v.Next)
}

// FirstEnded returns the first of those that ended lately, bad ends before good ones:
// in a busy program the good ones are all of the last second.
func (v supervisorScreen) FirstEnded() []ended { return firstOf(v.Ended) }

func firstOf(list []ended) []ended {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b ended) int {
		switch {
		case a.Bad() == b.Bad():
			return 0
		case a.Bad():
			return -1
		}
		return 1
	})
	return list[:min(firstEnded, len(list))]
}

// GraceTotal returns the seconds that a shutdown has, and GraceUsed those it had.
func (v supervisorScreen) GraceTotal() float64 { return max(0, v.StopBy.Sub(v.StopSince).Seconds()) }

// GraceUsed returns the seconds that a shutdown has taken.
func (v supervisorScreen) GraceUsed() float64 { return max(0, time.Since(v.StopSince).Seconds()) }

// Column returns the heading of a column; "" if there is none.
func (s section) Column(i int) string {
	if i < len(s.Columns) {
		return s.Columns[i]
	}
	return ""
}

// Bad reports whether the outcome is somebody's concern.
func (e ended) Bad() bool { return e.Outcome != "completed" && e.Outcome != "canceled" }
