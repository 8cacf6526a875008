package livesub

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const maxActor = 128 // bytes of a name

// Cause is why a task was triggered, interrupted, paused, resumed or stopped by
// somebody at the page: it is the error of the event, and errors.As finds it there
// and in the cause of a cancelled context.
type Cause struct {
	Action string // run, interrupt, pause, resume or stop
	Actor  string // whom [WithActions] named
}

// Error names the actor.
func (c *Cause) Error() string { return c.Action + " by " + c.Actor + " on the live page" }

// act is one of the things that can be done to a task.
type act struct {
	Label, Question string // Question is asked before what ends something; "" asks nothing
	do              func(h *taskvisor.Handle, cause error) bool
}

var acts = map[string]act{
	"run": {"run now", "", (*taskvisor.Handle).RunNow},
	"interrupt": {"interrupt", "Its attempt is cancelled, and the next one begins at once.",
		(*taskvisor.Handle).Interrupt},
	"pause":  {"pause", "", (*taskvisor.Handle).Pause},
	"resume": {"resume", "", (*taskvisor.Handle).Resume},
	"stop": {"stop", "The task ends, and is gone until the program adds it again or is restarted.",
		(*taskvisor.Handle).StopFor},
}

// actor returns on whose behalf r may act.
func (p *Page) actor(r *http.Request) (name string, ok bool) {
	if p.authorize == nil {
		return "", false
	}
	defer func() {
		if recover() != nil { // who panics has not said yes
			name, ok = "", false
		}
	}()
	name, ok = p.authorize(r)
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, clip(name, maxActor))
	if name == "" {
		name = "somebody"
	}
	return name, ok
}

// order is what a form asks for.
type order struct {
	act, back  string
	supervisor string
	id         taskvisor.TaskID
	confirmed  bool
}

func readOrder(r *http.Request) (o order, err error) {
	if err := r.ParseForm(); err != nil {
		return o, err
	}
	o = order{act: r.PostForm.Get("do"), supervisor: r.PostForm.Get("supervisor"), back: backTo(r.PostForm.Get("back")),
		confirmed: r.PostForm.Get("confirm") == "yes"}
	id := r.PostForm.Get("id")
	if run := r.PostForm.Get("run"); run != "" { // the button of a row
		o.act, id = "run", run
	}
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return o, err
	}
	o.id = taskvisor.TaskID(n)
	if _, known := acts[o.act]; !known {
		return o, errors.New("no such action")
	}
	return o, nil
}

// backTo returns where a form was sent from, if that is a view of this page.
func backTo(link string) string {
	if len(link) > 4<<10 || !strings.HasPrefix(link, "./?") && link != "./" {
		return "./"
	}
	for _, c := range []byte(link) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return "./"
		}
	}
	return link
}

// action answers POST ./action.
func (p *Page) action(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		refuse(w, http.StatusMethodNotAllowed, "an action is a POST")
		return
	}
	if p.authorize == nil {
		refuse(w, http.StatusForbidden, "actions are not allowed here")
		return
	}
	if err := p.cross.Check(r); err != nil {
		refuse(w, http.StatusForbidden, "the request comes from a page of another site")
		return
	}
	actor, ok := p.actor(r)
	if !ok {
		refuse(w, http.StatusForbidden, "you may look, but not act")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	o, err := readOrder(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "the form needs id, and do: run, interrupt, pause, resume or stop")
		return
	}
	h := p.handle(o)
	if h == nil {
		refuse(w, http.StatusNotFound, "no such task is registered: it may have ended")
		return
	}
	a := acts[o.act]
	if a.Question != "" && !o.confirmed {
		p.confirm(w, r, o, h.Name())
		return
	}
	changed := a.do(h, &Cause{Action: o.act, Actor: actor})
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Location", withResult(o.back, o.act, changed))
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	sendJSON(w, r, map[string]any{"action": o.act, "id": o.id, "task": h.Name(), "changed": changed})
}

// withResult is the view to go back to, with what an action did. The words are
// chosen there: an address puts no text on the page.
func withResult(back, action string, changed bool) string {
	sep := "&"
	if back == "./" {
		sep = "?"
	}
	return back + sep + "done=" + action + "&changed=" + strconv.FormatBool(changed)
}

// handle returns the registered task that o is about, or nil.
func (p *Page) handle(o order) *taskvisor.Handle {
	for _, s := range p.snapshots() {
		if o.supervisor != "" && o.supervisor != s.Supervisor {
			continue
		}
		if i, found := find(s.Tasks, o.id); found {
			return s.Tasks[i].Handle
		}
	}
	return nil
}
