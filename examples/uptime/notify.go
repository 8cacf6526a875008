package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Limits of one notification. A receiver that is away for longer misses it, so
// that the next one, which is news, is not held up for ever.
const (
	notifyTimeout = 5 * time.Second
	notifyRetries = 4
)

// notifyPrefix is what the name of a notification's task begins with.
const notifyPrefix = "notify "

// message is what a notification says.
type message struct {
	Target string    `json:"target"`
	State  string    `json:"state"` // up, down, or ended: nobody watches it any more
	At     time.Time `json:"at"`
	Error  string    `json:"error,omitempty"`

	brief string // the error, for one line
}

// String is the message for people.
func (m message) String() string {
	state := m.State
	if state == "ended" {
		state = "no longer watched"
	}
	if m.Error == "" {
		return fmt.Sprintf("%s is %s", m.Target, state)
	}
	return fmt.Sprintf("%s is %s: %s", m.Target, state, cmp.Or(m.brief, m.Error))
}

// notifier watches the events of the targets and, when one goes down or comes
// back, submits a notification under the target's slot with Queue: those of one
// target arrive one after the other, in order, and no target waits for another.
//
// It is a queued subscriber, so its maps belong to its worker alone.
type notifier struct {
	downAfter int
	submit    func(context.Context, taskvisor.Submission) (*taskvisor.Handle, error)
	deliver   func(context.Context, message) error
	failed    func(error) // a notification that could not even be submitted

	streak map[string]int
	down   map[string]bool
}

func newNotifier(targets []target, downAfter int, deliver func(context.Context, message) error, failed func(error)) *notifier {
	n := &notifier{downAfter: downAfter, deliver: deliver, failed: failed, streak: map[string]int{}, down: map[string]bool{}}
	for _, t := range targets {
		n.streak[t.name] = 0
	}
	return n
}

// Preferences implements [taskvisor.Preferences].
func (n *notifier) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("notifier"), taskvisor.Queued(4096)}
}

// OnEvent implements [taskvisor.Subscribe]. The ctx that it hands on has the
// attempt's span, to which the notification's is then linked.
func (n *notifier) OnEvent(ctx context.Context, e taskvisor.Event) {
	if _, watched := n.streak[e.Task]; !watched {
		return
	}
	m := message{Target: e.Task, At: e.Time}
	switch e.Kind {
	case taskvisor.TaskStopped:
		n.streak[e.Task] = 0
		if !n.down[e.Task] {
			return
		}
		n.down[e.Task] = false
		m.State = "up"
	case taskvisor.TaskFailed:
		n.streak[e.Task]++
		if n.down[e.Task] || n.streak[e.Task] < n.downAfter {
			return
		}
		n.down[e.Task] = true
		m.State, m.Error, m.brief = "down", reason(e.Err), brief(e.Err)
	case taskvisor.ActorExhausted, taskvisor.ActorDead:
		m.State, m.Error, m.brief = "ended", reason(e.Err), brief(e.Err)
	default:
		return
	}
	n.send(ctx, m)
}

func (n *notifier) send(ctx context.Context, m message) {
	name := notifyPrefix + m.Target
	_, err := n.submit(ctx, taskvisor.Submission{
		Slot:      name,
		Admission: taskvisor.Queue,
		Task: taskvisor.Restartable(name, func(ctx context.Context) error { return n.deliver(ctx, m) },
			taskvisor.WithTimeout(notifyTimeout), taskvisor.WithMaxRetries(notifyRetries)),
	})
	if err != nil && !errors.Is(err, taskvisor.ErrShuttingDown) {
		n.failed(fmt.Errorf("notification %q: %w", m, err))
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// hook returns a delivery that posts the message as JSON to u. Webhooks keep
// their secret in the path as often as in the query, so only the host shows.
func (p *prober) hook(u *url.URL) func(context.Context, message) error {
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()
	rt := p.transport(u)
	return func(ctx context.Context, m message) error {
		body, err := json.Marshal(m)
		if err != nil {
			return taskvisor.Fatal(err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, shown, bytes.NewReader(body))
		if err != nil {
			return taskvisor.Fatal(errURL)
		}
		req.Header.Set("Content-Type", "application/json")
		return exchange(rt, req)
	}
}
