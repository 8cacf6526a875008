package taskvisor

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	labelTaskID = "taskvisor_task_id" // pprof label that tells a task's goroutines

	maxTaskStack   = 64 << 10
	maxReportStack = 1 << 20

	cut = "…\n" // ends a stack that was too long

	// captureWait bounds the one capture of a shutdown. Reading the stacks of
	// 100 000 goroutines took 270 ms on two cores.
	captureWait = 500 * time.Millisecond

	// captureEvery is the least time between the captures of stuck tasks, which
	// stop the world; those in between share one or go without.
	captureEvery = time.Second
)

// stackReader rations the captures for tasks that get stuck one by one.
type stackReader struct {
	clock *clock

	mu   sync.Mutex // guards the fields below; held while capturing, by timers only
	at   instant    // when the last capture began; 0: never
	last map[TaskID]string
}

// of returns the stacks of the goroutines that wear the task's label, as they
// were at some time after since; "" if the ration is used up and they are not a
// must.
func (r *stackReader) of(id TaskID, since instant, must bool) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, now := r.clock.now()
	switch {
	case r.at != 0 && r.at >= since && now-r.at < instant(captureEvery):
	case r.at != 0 && now-r.at < instant(captureEvery) && !must:
		return ""
	default:
		r.at = now
		r.last = captureStacks()
	}
	return r.last[id]
}

// captureWithin captures all tasks' stacks, or gives up after captureWait.
func captureWithin() map[TaskID]string {
	got := make(chan map[TaskID]string, 1)
	// Started by a shutdown whose grace is over; ends with the capture, which
	// stops the world for as long as it takes; the shutdown waits for captureWait.
	go func() { got <- captureStacks() }()
	timer := time.NewTimer(captureWait)
	defer timer.Stop()
	select {
	case m := <-got:
		return m
	case <-timer.C:
		return nil
	}
}

// captureStacks returns the stacks of all goroutines that wear a task's label,
// by task. The goroutine profile in its text form (debug=1) is the only public
// source of a goroutine's labels; goroutines with equal stacks and labels are one
// record in it.
func captureStacks() map[TaskID]string {
	p := stackParser{stacks: map[TaskID]*strings.Builder{}}
	_ = pprof.Lookup("goroutine").WriteTo(&p, 1) // the parser's Write does not fail
	p.record()
	stacks := make(map[TaskID]string, len(p.stacks))
	for id, b := range p.stacks {
		stacks[id] = b.String()
	}
	return stacks
}

// stackParser reads the text as it is written: that of 100 000 goroutines would
// take tens of megabytes.
type stackParser struct {
	stacks  map[TaskID]*strings.Builder
	total   int
	partial []byte // of a line
	id      TaskID // of the record being read; 0: not a task's
	count   string // of goroutines in it
	frames  []string
}

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

// line reads one line of a record:
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
		_, after, found := strings.Cut(l, `"`+labelTaskID+`":"`)
		if digits, _, ok := strings.Cut(after, `"`); found && ok {
			id, _ := strconv.ParseUint(digits, 10, 64)
			p.id = TaskID(id)
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
	if id == 0 || p.total+headline > maxReportStack {
		return
	}
	b := p.stacks[id]
	if b == nil {
		b = &strings.Builder{}
		p.stacks[id] = b
	}
	before := b.Len()
	if before+headline > maxTaskStack {
		return
	}
	if before > 0 {
		b.WriteByte('\n')
	}
	limit := min(maxTaskStack, before+maxReportStack-p.total) - len(cut)
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
