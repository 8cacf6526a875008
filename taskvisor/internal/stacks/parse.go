package stacks

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
)

// capture returns the stacks of all goroutines that carry a task's label, by task.
// The goroutine profile in its text form (debug=1) is the only public source of a
// goroutine's labels; goroutines with equal stacks and labels are one record in it.
func capture() map[uint64]string {
	p := stackParser{stacks: map[uint64]*strings.Builder{}}
	_ = pprof.Lookup("goroutine").WriteTo(&p, 1) // the parser's Write does not fail
	p.record()
	stacks := make(map[uint64]string, len(p.stacks))
	for id, b := range p.stacks {
		stacks[id] = b.String()
	}
	return stacks
}

// stackParser reads the text as it is written: that of 100 000 goroutines would
// take tens of megabytes. The format is not promised by the runtime: what the parser does
// not understand it leaves out, and it never fails.
type stackParser struct {
	stacks  map[uint64]*strings.Builder // by task, each at most MaxTask long
	total   int                         // bytes in all of them, at most MaxReport
	partial []byte                      // of a line whose end was not written yet
	id      uint64                      // of the record being read; 0: not a task's, so far
	count   string                      // of goroutines in it, as the runtime wrote it
	frames  []string                    // of the record, if it is a task's, in the form in which they are shown
}

// Write implements [io.Writer]. b may begin and end anywhere in a line.
func (p *stackParser) Write(b []byte) (int, error) {
	n := len(b)
	for {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		p.partial = append(p.partial, line...)
		if !whole {
			return n, nil
		}
		p.line(string(p.partial))
		p.partial = p.partial[:0]
		b = rest
	}
}

// line reads one line of a record. Its labels come before its frames, and a record ends
// with an empty line or, if that is missing, with the headline of the next:
//
//	2 @ 0x4a 0x4b
//	# labels: {"taskvisor_task":"a", "taskvisor_task_id":"7"}
//	#	0x4a	main.f+0x2c	/src/main.go:12
func (p *stackParser) line(l string) {
	switch {
	case l == "":
		p.record()
	case strings.HasPrefix(l, "# labels: "):
		// A quote inside another label's value is escaped, so this cannot match there.
		_, after, found := strings.Cut(l, `"`+Label+`":"`)
		if digits, _, ok := strings.Cut(after, `"`); found && ok {
			p.id, _ = strconv.ParseUint(digits, 10, 64) // 0 if it is no number: not a label of ours
		}
	case strings.HasPrefix(l, "#\t"):
		if p.id == 0 {
			return
		}
		// Columns are padded with tabs: #, address, function+offset, file:line.
		if f := strings.FieldsFunc(l, func(r rune) bool { return r == '\t' }); len(f) == 4 {
			name, _, _ := strings.Cut(f[2], "+0x")
			p.frames = append(p.frames, name+"\n\t"+f[3]+"\n")
		}
	default:
		p.record()
		p.count, _, _ = strings.Cut(l, " ")
	}
}

// record ends a record and keeps it if it is a task's and there is room.
func (p *stackParser) record() {
	id, frames := p.id, p.frames
	p.id, p.frames = 0, p.frames[:0]
	const headline = 64 // more than any
	if id == 0 || p.total+headline > MaxReport {
		return
	}
	b := p.stacks[id]
	if b == nil {
		b = &strings.Builder{}
		p.stacks[id] = b
	}
	before := b.Len()
	if before+headline > MaxTask {
		return
	}
	if before > 0 { // an empty line between the goroutines of a task
		b.WriteByte('\n')
	}
	// The headline is written whole: the checks above have left room for it. Frames are
	// written while they fit in what this task, and all tasks, have left.
	limit := min(MaxTask, before+MaxReport-p.total) - len(cut)
	fmt.Fprintf(b, "%s goroutine(s):\n", p.count)
	for _, f := range frames {
		if b.Len()+len(f) > limit {
			b.WriteString(cut)
			break
		}
		b.WriteString(f)
	}
	p.total += b.Len() - before
}
