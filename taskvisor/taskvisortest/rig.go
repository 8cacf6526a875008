package taskvisortest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// rig is what one check works with: its bubble's t, the subscribers under test
// and what they were found doing.
type rig struct {
	t             *testing.T
	newSubscriber func(t *testing.T) taskvisor.Subscribe
	blocked       bool            // this and the next belong to the bubble's first goroutine
	before        map[string]bool // ids of the goroutines that the bubble began with

	mu     sync.Mutex // guards the fields below
	probes []*probe
	said   map[string]bool // complaints already made
	last   uint64
	calls  map[uint64]call // calls of subscribers in progress
}

// call is a call of the subscriber in progress.
type call struct {
	what  string
	since time.Time // the bubble's time
}

// complain fails the test, once for each text: a subscriber that is wrong about
// one event is wrong about thousands.
func (r *rig) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	first, _, _ := strings.Cut(text, "\n")
	r.mu.Lock()
	said := r.said[first]
	r.said[first] = true
	r.mu.Unlock()
	if !said {
		r.t.Errorf("taskvisortest: the subscriber: %s", text)
	}
}

func (r *rig) enter(what string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.calls[r.last] = call{what, time.Now()}
	return r.last
}

// leave ends a call and returns how long it took in the bubble's time, which
// stands still as long as anyone is able to run.
func (r *rig) leave(id uint64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls[id]
	delete(r.calls, id)
	return time.Since(c.since)
}

// pending lists the calls in progress that have lasted for d.
func (r *rig) pending(d time.Duration) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var what []string
	for _, c := range r.calls {
		if time.Since(c.since) >= d {
			what = append(what, c.what)
		}
	}
	slices.Sort(what)
	return what
}

// supervisor makes a supervisor with a fresh subscriber under test and a
// Recorder. The subscriber's own preferences hold unless how says otherwise.
func (r *rig) supervisor(how []taskvisor.SubscriberOption, opts ...taskvisor.Option) (*taskvisor.Supervisor, *probe) {
	r.mu.Lock()
	n := len(r.probes)
	r.mu.Unlock()
	sub := r.newSubscriber(r.t)
	if sub == nil {
		r.t.Fatal("taskvisortest: newSubscriber returned nil")
	}
	p := &probe{rig: r, sub: sub, name: fmt.Sprintf("under-test-%d", n), open: make(map[attemptKey]bool)}
	p.bracket, _ = sub.(taskvisor.AttemptBracket)
	how = append([]taskvisor.SubscriberOption{taskvisor.WithName(p.name)}, how...)
	opts = append([]taskvisor.Option{
		taskvisor.WithName(fmt.Sprintf("conformance-%d", n)),
		taskvisor.WithGrace(10 * time.Second),
		taskvisor.WithSubscriber(p, how...),
		taskvisor.WithSubscriber(&p.seen, taskvisor.WithName("recorder")),
	}, opts...)
	sup, err := taskvisor.New(opts...)
	if err != nil {
		r.t.Fatalf("taskvisortest: New with a fresh subscriber: %v", err)
	}
	for _, s := range sup.Snapshot().Subscribers {
		if s.Name == p.name {
			p.inline = s.Inline
		}
	}
	r.mu.Lock()
	r.probes = append(r.probes, p)
	r.mu.Unlock()
	return sup, p
}

// start is supervisor, started.
func (r *rig) start(opts ...taskvisor.Option) (*taskvisor.Supervisor, *probe) {
	sup, p := r.supervisor(nil, opts...)
	if err := sup.Start(context.Background()); err != nil {
		r.t.Fatalf("taskvisortest: Start: %v", err)
	}
	return sup, p
}

// add registers specs that must be accepted.
func (r *rig) add(sup *taskvisor.Supervisor, specs ...taskvisor.TaskSpec) []*taskvisor.Handle {
	var handles []*taskvisor.Handle
	for _, spec := range specs {
		h, err := sup.Add(context.Background(), spec)
		if err != nil {
			r.t.Fatalf("taskvisortest: %v", err)
		}
		handles = append(handles, h)
	}
	return handles
}

// shutdown ends sup; want says whether bodies are expected to outlive it.
func (r *rig) shutdown(sup *taskvisor.Supervisor, want bool) {
	err := sup.Shutdown(context.Background())
	var late *taskvisor.GraceExceededError
	switch {
	case errors.As(err, &late) && !want:
		r.complain("shutdown was held up: %v", err)
	case !errors.As(err, &late) && want, err != nil && !want:
		r.t.Errorf("taskvisortest: Shutdown: %v, grace exceeded wanted: %t", err, want)
	}
}

// checkLeaks looks for goroutines that the bubble still has when everything is
// over, and for attempts that were never ended. The runtime would find the
// goroutines too, but blame the test.
func (r *rig) checkLeaks() {
	if r.blocked {
		return // whoever was blocked is still there, and so are its tasks
	}
	time.Sleep(time.Hour) // whatever ends by itself ends now
	synctest.Wait()
	r.checkBlocked()
	for _, p := range r.probes {
		p.checkEnd()
	}
	var left []string
	for id, stack := range bubbleGoroutines() {
		if !r.before[id] {
			left = append(left, stack)
		}
	}
	if len(left) > 0 {
		r.complain("%d goroutines are left behind\n%s", len(left), strings.Join(left, "\n\n"))
	}
}

var (
	goroutineID = regexp.MustCompile(`^goroutine \d+`)
	bubbleID    = regexp.MustCompile(`synctest bubble \d+`)
)

// bubbleGoroutines returns the stacks of the goroutines of the caller's bubble
// by their ids.
func bubbleGoroutines() map[string]string {
	all := goroutines()
	own := bubbleID.FindString(header(all[0]))
	stacks := make(map[string]string)
	for _, g := range all {
		if own != "" && bubbleID.FindString(header(g)) == own {
			stacks[goroutineID.FindString(g)] = g
		}
	}
	return stacks
}

func header(stack string) string {
	first, _, _ := strings.Cut(stack, "\n")
	return first
}

// goroutines returns the stack of each goroutine, the caller's first.
func goroutines() []string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
		}
		buf = make([]byte, 4*len(buf))
	}
}

// hangsAfter is how long, in real time, one call of a subscriber may take. A
// call that waits for a mutex stops the bubble's clock, so that only a real one
// can tell. It is never written while a check runs.
var hangsAfter = 30 * time.Second

// watch ends the test binary with a message when one call of the subscriber
// does not come back. The returned function ends the watch and waits for it.
func watch(r *rig) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() { // outside of the bubble; ends when stop is called
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for oldest, since := uint64(0), time.Now(); ; {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			id, what := r.oldest()
			if id == 0 || id != oldest {
				oldest, since = id, time.Now()
			} else if time.Since(since) > hangsAfter {
				stacks := slices.DeleteFunc(goroutines(), func(g string) bool { return !strings.Contains(g, "(*probe)") })
				panic(fmt.Sprintf("taskvisortest: the subscriber: %s hangs, perhaps on a mutex that it holds itself\n%s",
					what, strings.Join(stacks, "\n\n")))
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// oldest returns the longest call in progress that is to return at once; 0 if
// there is none.
func (r *rig) oldest() (id uint64, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, c := range r.calls {
		if id == 0 || n < id {
			id, what = n, c.what
		}
	}
	return id, what
}
