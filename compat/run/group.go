package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"reflect"
	"runtime"
	"strings"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Group is actors that live and end together. The zero value is ready. Add actors
// first, then call Run; it is not safe for concurrent use.
type Group struct {
	actors []*actor
}

type actor struct {
	name      string
	execute   func() error
	interrupt func(error)
}

// Add adds an actor. execute does its work, and must return soon after interrupt was
// called. interrupt is called once in each Run, for every actor, also for one that has
// returned before, with the error of the one that was first. Add panics if one of them
// is nil.
func (g *Group) Add(execute func() error, interrupt func(error)) {
	if execute == nil || interrupt == nil {
		panic("run: Add of a nil function")
	}
	name := nameOf(execute)
	same := 0
	for _, a := range g.actors {
		if a.name == name || strings.HasPrefix(a.name, name+" #") {
			same++
		}
	}
	if same > 0 {
		name = fmt.Sprintf("%s #%d", name, same+1)
	}
	g.actors = append(g.actors, &actor{name, execute, interrupt})
}

// Run runs all actors at the same time. When the first has returned, all are
// interrupted, in the order in which they were added; when all have returned, Run
// returns the error of the first. Without actors it returns nil.
func (g *Group) Run() error {
	if len(g.actors) == 0 {
		return nil
	}
	first := newFirst(g.actors)
	w := watch.begin()
	defer watch.end(w)
	sup, err := w.supervisor(
		taskvisor.WithName(w.name),
		taskvisor.WithGrace(math.MaxInt64), // Run returns when all have
		taskvisor.WithSubscriber(first),
	)
	if err != nil {
		return err
	}
	tasks := make([]*taskvisor.Handle, 0, len(g.actors))
	for _, a := range g.actors {
		h, err := sup.Add(context.Background(), taskvisor.Once(a.name, a.body(first)))
		if err != nil {
			return errors.Join(err, sup.Shutdown(context.Background())) // nothing was started
		}
		tasks = append(tasks, h)
	}
	if err := sup.Start(context.Background()); err != nil {
		return err
	}
	err = <-first.ended
	<-first.begun // execute is called in every case, however early another ends
	for _, h := range tasks {
		h.StopFor(err) // what they return from now on is no failure
	}
	for _, a := range g.actors {
		a.interrupt(err)
	}
	_ = sup.Shutdown(context.Background()) // nil, since the grace has no end
	return err
}

// body is the actor as a task's work. What it returns is kept as it is, before it is
// told in taskvisor's words.
func (a *actor) body(first *first) taskvisor.Func {
	return func(context.Context) error {
		first.begin(a.name)
		err := a.execute()
		first.keep(a.name, err)
		if errors.Is(err, ErrSignal) || errors.Is(err, context.Canceled) {
			return taskvisor.Canceled(err)
		}
		return err
	}
}

// first takes the first end of an actor. It is a subscriber, so that the end has been
// announced as it was before the supervisor stops, and for the sake of actors that
// panic and do not return.
type first struct {
	ended chan error    // has room for one
	begun chan struct{} // closed when all have begun

	mu      sync.Mutex // guards the fields below
	waiting map[string]bool
	said    map[string]error
}

func newFirst(actors []*actor) *first {
	f := &first{
		ended: make(chan error, 1), begun: make(chan struct{}),
		waiting: make(map[string]bool), said: make(map[string]error),
	}
	for _, a := range actors {
		f.waiting[a.name] = true
	}
	return f
}

// begin notes that an actor has begun, or that it never will.
func (f *first) begin(actor string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting[actor] {
		delete(f.waiting, actor)
		if len(f.waiting) == 0 {
			close(f.begun)
		}
	}
}

func (f *first) keep(actor string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said[actor] = err
}

// Preferences asks for every event.
func (*first) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// OnEvent notices the end of an actor.
func (f *first) OnEvent(_ context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
	default:
		return
	}
	f.begin(e.Task)
	f.mu.Lock()
	err, returned := f.said[e.Task]
	f.mu.Unlock()
	if !returned {
		err = e.Err
	}
	select {
	case f.ended <- err:
	default: // another was first
	}
}

// longest leaves room for a number within the 128 bytes of a name.
const longest = 112

// nameOf returns the name of a function, without the path of its package.
func nameOf(f func() error) string {
	name := "actor"
	if fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer()); fn != nil {
		name = strings.TrimSuffix(path.Base(fn.Name()), "-fm")
	}
	return name[:min(len(name), longest)]
}
