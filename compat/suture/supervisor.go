package suture

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Supervisor runs services and restarts those that end. Make one with New or
// NewSimple, give it services, and start it by Serve, ServeBackground, or by adding it
// to another: a Supervisor is a Service. It is safe for concurrent use. The zero value
// cannot be used.
type Supervisor struct {
	Name string // not to be changed once it serves

	id     uint32
	pause  *pause
	hooks  outbox
	begun  chan struct{} // closed when it serves, and all that was added before is registered
	served chan struct{} // closed when it has ended

	mu       sync.Mutex // guards the fields below
	spec     Spec
	state    state
	ctx      context.Context // of Serve
	stop     context.CancelFunc
	ending   error // what a service returned that ends the tree
	sup      *taskvisor.Supervisor
	counter  uint32
	services map[uint32]*supervised
	tasks    map[string]*supervised // by the name of the task, until that is gone
	names    names
}

// state is where a supervisor is in its life.
type state uint8

const (
	created state = iota
	serving
	terminated
)

// supervised is a service and its task. What is not guarded by the supervisor's mutex
// is set before others see it.
type supervised struct {
	id      uint32
	service Service
	inner   *Supervisor // if the service has one
	name    string
	base    string // of task
	task    string
	handle  *taskvisor.Handle // guarded; nil before the supervisor serves
}

var lastID atomic.Uint32

// New returns a supervisor that is called name, which need not be unique.
//
// It counts the failures of its services, all together: each return and each panic is
// one, and the count halves every spec.FailureDecay seconds. A service that ended is
// restarted at once, unless the count is above spec.FailureThreshold: then none is
// restarted for a spec.FailureBackoff. Services that have not ended run on meanwhile.
func New(name string, spec Spec) *Supervisor {
	spec = spec.withDefaults()
	return &Supervisor{
		Name:     name,
		id:       lastID.Add(1),
		pause:    &pause{decay: spec.FailureDecay, threshold: spec.FailureThreshold},
		begun:    make(chan struct{}),
		served:   make(chan struct{}),
		spec:     spec,
		services: make(map[uint32]*supervised),
		tasks:    make(map[string]*supervised),
		names:    make(names),
	}
}

// NewSimple returns New(name, Spec{}).
func NewSimple(name string) *Supervisor { return New(name, Spec{}) }

// HasSupervisor is implemented by services that are, embed or contain a Supervisor.
// GetSupervisor may return nil.
type HasSupervisor interface {
	GetSupervisor() *Supervisor
}

// GetSupervisor returns s.
func (s *Supervisor) GetSupervisor() *Supervisor { return s }

// String returns the name.
func (s *Supervisor) String() string { return s.Name }

// ServiceToken identifies a service of a supervisor. It is comparable; the zero value
// is no service's.
type ServiceToken struct {
	supervisor uint32
	service    uint32
}

// Add adds a service. It starts at once if the supervisor serves, and otherwise when
// it does. After the end of the supervisor nothing is added, and the token is zero. A
// supervisor inside the service gets this one's EventHook. It panics if s is nil.
func (s *Supervisor) Add(service Service) ServiceToken {
	if s == nil || s.id == 0 {
		panic("suture: Add to a *suture.Supervisor that was not made by New")
	}
	r := &supervised{service: service, name: nameOf(service)}
	r.base = fit(r.name)
	if has, ok := service.(HasSupervisor); ok {
		r.inner = has.GetSupervisor()
	}
	if r.inner != nil {
		r.inner.setHook(s.hook())
	}
	s.mu.Lock()
	if s.state == terminated {
		s.mu.Unlock()
		return ServiceToken{}
	}
	s.counter++
	r.id = s.counter
	r.task = s.names.take(r.base)
	s.services[r.id], s.tasks[r.task] = r, r
	ctx, sup := s.ctx, s.sup
	s.mu.Unlock()
	if sup != nil && !s.register(ctx, sup, r) {
		return ServiceToken{}
	}
	return ServiceToken{s.id, r.id}
}

// register makes a task of a service, and reports whether it was taken.
func (s *Supervisor) register(ctx context.Context, sup *taskvisor.Supervisor, r *supervised) bool {
	h, err := sup.Add(ctx, s.taskOf(r))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil { // the supervisor is about to end
		s.forget(r)
		return false
	}
	r.handle = h
	return true
}

// forget needs s.mu.
func (s *Supervisor) forget(r *supervised) {
	delete(s.services, r.id)
	if s.tasks[r.task] == r {
		delete(s.tasks, r.task)
		s.names.free(r.base)
	}
}

// Remove stops a service and forgets it; it does not wait. A token whose service is
// gone, and a supervisor that has ended, are fine. Errors: ErrWrongSupervisor,
// ErrSupervisorNotStarted.
func (s *Supervisor) Remove(id ServiceToken) error {
	_, err := s.remove(id)
	if err == ErrSupervisorNotRunning {
		return nil
	}
	return err
}

// RemoveAndWait is Remove, and waits until the service has returned, at most for
// timeout, or for ever if that is 0. Errors: those of Remove, ErrTimeout, also when
// the supervisor ends first, and ErrSupervisorNotRunning.
func (s *Supervisor) RemoveAndWait(id ServiceToken, timeout time.Duration) error {
	h, err := s.remove(id)
	if err != nil || h == nil {
		return err
	}
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-h.Returned():
		return nil
	case <-s.served:
	case <-expired:
	}
	select { // it may have been both
	case <-h.Returned():
		return nil
	default:
		return ErrTimeout
	}
}

// remove returns the task of the service, nil if that is gone.
func (s *Supervisor) remove(id ServiceToken) (*taskvisor.Handle, error) {
	if id.supervisor != s.id {
		return nil, ErrWrongSupervisor
	}
	s.mu.Lock()
	st := s.state
	s.mu.Unlock()
	if st == created {
		return nil, ErrSupervisorNotStarted
	}
	<-s.begun
	s.mu.Lock()
	st, ctx := s.state, s.ctx
	r := s.services[id.service]
	delete(s.services, id.service)
	s.mu.Unlock()
	switch {
	case st == terminated || ctx.Err() != nil:
		return nil, ErrSupervisorNotRunning
	case r == nil || r.handle == nil:
		return nil, nil
	}
	r.handle.Stop()
	return r.handle, nil
}

// Services returns the services that were added and neither removed nor ended by
// themselves, in the order of their adding; nil if the supervisor does not serve.
func (s *Supervisor) Services() []Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serving || s.ctx.Err() != nil {
		return nil
	}
	out := []Service{}
	for _, r := range s.ordered() {
		out = append(out, r.service)
	}
	return out
}

// ordered needs s.mu.
func (s *Supervisor) ordered() []*supervised {
	out := make([]*supervised, 0, len(s.services))
	for _, r := range s.services {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *supervised) int { return cmp.Compare(a.id, b.id) })
	return out
}
