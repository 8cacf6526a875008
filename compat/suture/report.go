package suture

import (
	"cmp"
	"slices"
)

// UnstoppedService is a service that did not stop.
type UnstoppedService struct {
	SupervisorPath []*Supervisor // from the supervisor that was asked to the one that the service is in
	Service        Service
	Name           string
	ServiceToken   ServiceToken // for the last of SupervisorPath
}

// UnstoppedServiceReport is what still ran.
type UnstoppedServiceReport []UnstoppedService

// UnstoppedServiceReport waits until the supervisor has ended and returns the services
// that have not stopped, here and in the supervisors below; nil if all have. Those that
// have returned meanwhile are not in it. The error is nil.
func (s *Supervisor) UnstoppedServiceReport() (UnstoppedServiceReport, error) {
	<-s.served
	return s.unstopped([]*Supervisor{s}), nil
}

// unstopped returns what runs below s, whose path is given.
func (s *Supervisor) unstopped(path []*Supervisor) UnstoppedServiceReport {
	var report UnstoppedServiceReport
	for _, r := range s.left() {
		if r.inner != nil && !slices.Contains(path, r.inner) {
			if below := r.inner.unstopped(append(slices.Clone(path), r.inner)); below != nil {
				report = append(report, below...)
				continue // it waits for these
			}
		}
		if runs(r) {
			report = append(report, UnstoppedService{slices.Clone(path), r.service, r.name, ServiceToken{s.id, r.id}})
		}
	}
	return report
}

// runs reports whether the service has yet to return.
func runs(r supervised) bool {
	if r.handle == nil {
		return false
	}
	select {
	case <-r.handle.Returned():
		return false
	default:
		return true
	}
}

// left returns copies of the services whose tasks are not gone, removed ones included,
// and of the supervisors that ended with s.
func (s *Supervisor) left() []supervised {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]supervised, 0, len(s.tasks))
	for _, r := range s.tasks {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b supervised) int { return cmp.Compare(a.id, b.id) })
	return out
}
