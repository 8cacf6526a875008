package taskvisortest_test

// group is a sync.WaitGroup for bubbles: go1.25.0 takes one in reused memory for
// that of another bubble, and ends the process. Go and Wait are called by one
// goroutine.
type group struct{ ended []chan struct{} }

func (g *group) Go(f func()) {
	ended := make(chan struct{})
	g.ended = append(g.ended, ended)
	go func() {
		defer close(ended)
		f()
	}()
}

func (g *group) Wait() {
	for _, ended := range g.ended {
		<-ended
	}
	g.ended = nil
}
