// Package bubbled has what tests in bubbles use instead of the standard library's.
package bubbled

// Group is a sync.WaitGroup for bubbles: go1.25.0 takes one in reused memory for
// that of another bubble, and ends the process. Go and Wait are called by one
// goroutine.
type Group struct{ ended []chan struct{} }

// Go calls f on a goroutine of its own, which ends with f, and for which Wait waits.
func (g *Group) Go(f func()) {
	ended := make(chan struct{})
	g.ended = append(g.ended, ended)
	go func() {
		defer close(ended)
		f()
	}()
}

// Wait waits until all have ended.
func (g *Group) Wait() {
	for _, ended := range g.ended {
		<-ended
	}
	g.ended = nil
}
