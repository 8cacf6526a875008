package livesub

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Failing reports whether the last attempt went wrong: an error from before the last
// success is history.
func (t *task) Failing() bool {
	switch t.LastResult {
	case "failure", "fatal", "timeout", "panic":
		return true
	}
	return false
}

// CanRun reports whether a row has a button: run now then ends a delay. A task that
// runs has it on its own page, where there is room to think.
func (t *task) CanRun() bool {
	return t.State == "backoff" || t.State == "waiting"
}

// Text says what is wrong, if anything is.
func (t *task) Text() string { return t.text }

// ResultWords says how the attempts ended.
func (t *task) ResultWords() string {
	var parts []string
	for k := taskvisor.ResultSuccess; k <= taskvisor.ResultCanceled; k++ {
		if n := t.Results.Of(k); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	if parts == nil {
		return "none has ended"
	}
	return strings.Join(parts, ", ")
}

// button is one thing that a reader may do.
type button struct {
	Name, Label string
	Danger      bool
}

// Acts returns what has a meaning for the task as it is.
func (t *task) Acts() []button {
	var names []string
	switch t.State {
	case "running":
		names = []string{"run", "interrupt", "pause", "stop"}
	case "backoff", "waiting":
		names = []string{"run", "pause", "stop"}
	case "pending":
		names = []string{"pause", "stop"}
	case "paused":
		names = []string{"resume", "stop"}
	}
	var list []button
	for _, n := range names {
		list = append(list, button{n, acts[n].Label, acts[n].Question != ""})
	}
	return list
}

// Task returns the registered task; nil if it has ended.
func (d *detail) Task() *task { return d.Status }

// The picture of the last attempts: 32 bars of 3 points, 1 apart.
const (
	barStep   = 4
	barHeight = 17
	barFoot   = 2 // below the line, under what went wrong: not by colour alone
)

// bars draws attempts, the latest on the right. The colour is the result; the height
// is the logarithm of the duration: 10 ms and a minute are far apart, 50 and 60 s are
// not. One path for each colour keeps 200 rows small.
func bars(attempts []attempt) template.HTML {
	if len(attempts) == 0 {
		return ""
	}
	var good, bad, canceled pen
	failures := 0
	x := 2
	for _, a := range attempts {
		ms := float64(a.duration) / 1e6
		h := int(min(max(3+3*math.Log10(max(ms, 1)), 3), barHeight))
		switch a.result {
		case taskvisor.ResultSuccess:
			good.bar(x, 0, h)
		case taskvisor.ResultCanceled:
			canceled.bar(x, 0, h)
		default:
			failures++
			bad.bar(x, barFoot, h)
		}
		x += barStep
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="bars" width="%d" height="20" role="img" aria-label="%s, %d failed">`,
		x, count(len(attempts), "attempt"), failures)
	for _, part := range []struct {
		class string
		path  []byte
	}{{"", good.path}, {` class="x"`, bad.path}, {` class="c"`, canceled.path}} {
		if len(part.path) > 0 {
			fmt.Fprintf(&b, `<path%s d="%s"/>`, part.class, part.path)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // numbers only: nothing to escape
}

// pen draws the bars of one colour as one path, each from where the last one ended:
// relative moves are short.
type pen struct {
	path []byte
	x, y int
}

// bar draws a bar of height h at x, and foot points below the line.
func (p *pen) bar(x, foot, h int) {
	from := barHeight + foot
	p.path = append(p.path, 'm')
	p.path = strconv.AppendInt(p.path, int64(x-p.x), 10)
	if from >= p.y {
		p.path = append(p.path, ' ')
	}
	p.path = strconv.AppendInt(p.path, int64(from-p.y), 10)
	p.path = append(p.path, "v-"...)
	p.path = strconv.AppendInt(p.path, int64(h+foot), 10)
	p.x, p.y = x, from-h-foot
}

// cut returns about the first n bytes of the first line.
func cut(s string, n int) string {
	line, _, more := strings.Cut(s, "\n")
	if len(line) > n {
		for n > 0 && !utf8.RuneStart(line[n]) {
			n--
		}
		line, more = line[:n], true
	}
	if more {
		line += "…"
	}
	return line
}

func byteSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
