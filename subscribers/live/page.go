package livesub

import (
	"net/http"
	"slices"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	// enoughSupervisors is how many supervisors may be attached before those that
	// have ended, and were followed by another of the same name, are forgotten.
	enoughSupervisors = 64

	// maxAnswers is how many answers are made at the same time: a few cores' worth,
	// however many ask.
	maxAnswers = 4
)

// Page is the live page: a subscriber and an [http.Handler]. Make one with [New]. It
// is safe for concurrent use and may serve several supervisors, one after the other
// under the same name too.
type Page struct {
	settings
	cross   *http.CrossOriginProtection
	answers chan struct{} // holds one for each answer that is being made
	stacks  chan struct{} // holds one for each capture that is waited for
	past    past

	mu       sync.Mutex // guards the fields below
	attached []*attached
	prune    int // when so many are attached, look which are of no use any more
	losses   map[string]loss
}

// attached is one supervisor. It is a pointer, so that it can be told apart.
type attached struct{ snapshot func() taskvisor.Snapshot }

var (
	_ taskvisor.Subscribe   = (*Page)(nil)
	_ taskvisor.Attacher    = (*Page)(nil)
	_ taskvisor.Preferences = (*Page)(nil)
	_ http.Handler          = (*Page)(nil)
)

// New returns a page. Give it to [taskvisor.WithSubscriber] and to a mux.
func New(opts ...Option) *Page {
	p := &Page{
		settings: settings{maxHistory: defaultMaxHistory, hosts: map[string]bool{}},
		cross:    http.NewCrossOriginProtection(),
		answers:  make(chan struct{}, maxAnswers),
		stacks:   make(chan struct{}, maxAnswers),
		prune:    enoughSupervisors,
		losses:   map[string]loss{},
	}
	for _, o := range opts {
		o.apply(&p.settings)
	}
	p.past.init(p.maxHistory)
	return p
}

// Preferences asks for the name livesub, with which drops and panics are reported.
func (p *Page) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("livesub")}
}

// Attach keeps the supervisor's snapshot function. It implements
// [taskvisor.Attacher] and never fails.
func (p *Page) Attach(snapshot func() taskvisor.Snapshot) error {
	p.mu.Lock()
	full := len(p.attached) >= p.prune
	p.mu.Unlock()
	if full {
		p.snapshots()
	}
	defer p.past.attached() // when it can be seen
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached = append(p.attached, &attached{snapshot})
	p.prune = max(enoughSupervisors, p.prune, len(p.attached))
	return nil
}

// Close forgets the supervisor that was attached last, if nothing has happened in it yet:
// [taskvisor.New] calls it when another subscriber refuses, and nobody else needs to.
func (p *Page) Close() {
	p.mu.Lock()
	n := len(p.attached)
	if n == 0 {
		p.mu.Unlock()
		return
	}
	last := p.attached[n-1]
	p.mu.Unlock()
	if sn := last.snapshot(); sn.State != taskvisor.SupervisorNew || sn.Seq > 0 { // not under our lock
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached = slices.DeleteFunc(p.attached, func(a *attached) bool { return a == last })
}

// snapshots reads all supervisors, in the order in which they were made, and forgets
// those that have ended and been replaced, and, if there are too many, the oldest of
// those that have ended.
func (p *Page) snapshots() []taskvisor.Snapshot {
	p.mu.Lock()
	list := append([]*attached(nil), p.attached...)
	p.mu.Unlock()
	shots := make([]taskvisor.Snapshot, len(list))
	newest := map[string]int{}
	for i, a := range list {
		shots[i] = a.snapshot() // takes the supervisor's locks: not under ours
		newest[shots[i].Supervisor] = i
	}
	useless := map[*attached]bool{}
	shown := make([]taskvisor.Snapshot, 0, len(shots))
	for i, s := range shots {
		excess := len(list)-len(useless) > enoughSupervisors
		if s.State == taskvisor.SupervisorStopped && (newest[s.Supervisor] != i || excess) {
			useless[list[i]] = true
			continue
		}
		shown = append(shown, s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.attached[:0:0]
	for _, a := range p.attached { // others may have been attached meanwhile
		if !useless[a] {
			kept = append(kept, a)
		}
	}
	p.attached = kept
	p.prune = max(enoughSupervisors, 2*len(kept))
	return shown
}
