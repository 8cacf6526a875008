package otelsub

// Known returns how many tasks and displaced owners s remembers.
func (s *Subscriber) Known() (tasks, replaced int) {
	for i := range s.tasks.shards {
		shard := &s.tasks.shards[i]
		shard.mu.Lock()
		tasks += len(shard.tasks)
		shard.mu.Unlock()
	}
	s.tasks.replaced.mu.Lock()
	defer s.tasks.replaced.mu.Unlock()
	return tasks, len(s.tasks.replaced.spans)
}

// Dormant reports whether attempts are spared the tracer.
func (s *Subscriber) Dormant() bool { return s.tracer == nil || s.dormant.Load() }
