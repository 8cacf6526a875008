package livesub

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// needsFilter stands among the states for those tasks that need somebody.
const needsFilter = "needs"

// query is what an address asks for.
type query struct {
	supervisor, task string
	state            taskvisor.State // zero: any
	needs            bool            // only those that need somebody
	words            string          // lower case
	n                int
	at               place
	stacks, still    bool // still: without refreshing
	format           string
	raw              string // what the ETag depends on
	done, changed    string // what an action did: see action.go
}

// parseQuery refuses what it does not understand: an answer to another question
// than the one asked misleads.
func parseQuery(raw string) (q query, err error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("the query cannot be read")
	}
	q = query{
		supervisor: v.Get("supervisor"), task: v.Get("task"), words: strings.ToLower(strings.TrimSpace(v.Get("q"))),
		n: maxRows, stacks: v.Get("stacks") == "1", still: v.Get("refresh") == "off", format: v.Get("format"), raw: raw,
		done: v.Get("done"), changed: v.Get("changed"),
	}
	switch q.format {
	case "", "html", "json", "text":
	default:
		return q, fmt.Errorf("format is one of html, json and text")
	}
	if s := v.Get("state"); s == needsFilter {
		q.needs = true
	} else if s != "" {
		if err := q.state.UnmarshalText([]byte(s)); err != nil {
			return q, fmt.Errorf("state is that of a task, such as running or backoff, or %s", needsFilter)
		}
	}
	if s := v.Get("n"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return q, fmt.Errorf("n is a number from 1 to %d", maxRows)
		}
		q.n = min(n, maxRows)
	}
	if s := v.Get("after"); s != "" {
		if q.at, err = parsePlace(s); err != nil {
			return q, err
		}
	}
	return q, nil
}

// filtered reports whether q leaves some tasks out.
func (q *query) filtered() bool { return q.state != 0 || q.needs || q.words != "" }

// matches reports whether q asks for a task.
func (q *query) matches(st *taskvisor.TaskStatus, problem bool) bool {
	if q.state != 0 && st.State != q.state || q.needs && !problem {
		return false
	}
	return q.words == "" || contains(st.Name, q.words) || contains(st.Kind, q.words) || contains(st.Slot, q.words)
}

func contains(s, words string) bool { return strings.Contains(strings.ToLower(s), words) }

// link returns the relative address of the same view with some parameters changed:
// pairs of name and value, where an empty value removes one.
func (q *query) link(pairs ...string) string {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("supervisor", q.supervisor)
	set("task", q.task)
	set("state", q.state.String())
	if q.needs {
		set("state", needsFilter)
	}
	set("q", q.words)
	if q.n != maxRows {
		set("n", strconv.Itoa(q.n))
	}
	if q.still {
		set("refresh", "off")
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Del(pairs[i])
		set(pairs[i], pairs[i+1])
	}
	if len(v) == 0 {
		return "./"
	}
	return "./?" + v.Encode()
}
