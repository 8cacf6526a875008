package suture_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
)

var errBroken = errors.New("broken")

// service is a service that a test steers: each call of Serve is sent to calls, and
// returns what is sent to end, or, if it does not hang, when its context ends.
type service struct {
	name  string
	hangs bool
	calls chan context.Context
	end   chan error
}

func newService(name string) *service {
	return &service{name: name, calls: make(chan context.Context, 100), end: make(chan error)}
}

func (s *service) String() string { return s.name }

func (s *service) Serve(ctx context.Context) error {
	s.calls <- ctx
	done := ctx.Done()
	if s.hangs {
		done = nil
	}
	select {
	case err := <-s.end:
		if p, ok := err.(panics); ok {
			panic(p.value)
		}
		return err
	case <-done:
		return ctx.Err()
	}
}

// panics has a service panic.
type panics struct{ value any }

func (panics) Error() string { return "panics" }

// journal is an EventHook that writes events down, as words.
type journal struct {
	mu     sync.Mutex
	events []suture.Event
}

func (j *journal) hook(e suture.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) all() []suture.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]suture.Event(nil), j.events...)
}

func (j *journal) String() string {
	var words []string
	for _, e := range j.all() {
		switch e := e.(type) {
		case suture.EventServiceTerminate:
			words = append(words, fmt.Sprintf("%s:%v:%.2f:%v", e.ServiceName, e.Err, e.CurrentFailures, e.Restarting))
		case suture.EventServicePanic:
			words = append(words, fmt.Sprintf("%s:panic %s:%.2f:%v", e.ServiceName, e.PanicMsg, e.CurrentFailures, e.Restarting))
		case suture.EventStopTimeout:
			words = append(words, fmt.Sprintf("%s/%s:hangs", e.SupervisorName, e.ServiceName))
		case suture.EventBackoff:
			words = append(words, "backoff")
		case suture.EventResume:
			words = append(words, "resume")
		}
	}
	return strings.Join(words, " ")
}

// serve runs sup in a bubble until do has returned and its context was cancelled.
func serve(t *testing.T, sup *suture.Supervisor, do func()) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	end := sup.ServeBackground(ctx)
	synctest.Wait()
	do()
	synctest.Wait()
	cancel()
	return <-end
}

// send ends the call of Serve that runs, and waits for what follows.
func (s *service) send(err error) {
	s.end <- err
	time.Sleep(10 * time.Millisecond) // more than the restart floor
	synctest.Wait()
}

func wantCalls(t *testing.T, s *service, want int) {
	t.Helper()
	if got := len(s.calls); got != want {
		t.Errorf("%s was called %d times, want %d", s.name, got, want)
	}
}

func wantJournal(t *testing.T, j *journal, want string) {
	t.Helper()
	if got := j.String(); got != want {
		t.Errorf("events\n\t%s\nwant\n\t%s", got, want)
	}
}
