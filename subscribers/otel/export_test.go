package otelsub

// Replaced returns how many displaced owners s remembers.
func (s *Subscriber) Replaced() int {
	s.replaced.mu.Lock()
	defer s.replaced.mu.Unlock()
	return len(s.replaced.spans)
}

// Owners returns how many owners of slots s remembers.
func (s *Subscriber) Owners() (n int) {
	s.slots.Range(func(any, any) bool { n++; return true })
	return n
}

// Dormant reports whether attempts are spared the tracer.
func (s *Subscriber) Dormant() bool { return s.tracer() == nil || s.dormant.Load() }
