package slogsub

// Known returns how many tasks s remembers.
func (s *Subscriber) Known() int {
	s.floods.mu.Lock()
	defer s.floods.mu.Unlock()
	return len(s.floods.tasks)
}
