package promsub

// text maps a task to its value of the label task; a panic of the user's function goes
// through, as does its runtime.Goexit.
func (c *config) text(name, kind string) string {
	if kind != "" {
		name = kind
	}
	if c.taskLabel == nil {
		return name
	}
	return c.taskLabel(name)
}

// textOf is text for where a task is counted that has no label yet, and must be.
func (c *config) textOf(name, kind string) string {
	return c.textsOf(1, func(int) (string, string) { return name, kind })[0]
}

// textsOf maps n tasks where the user's function must not end what runs it: a registry
// waits for ever for a collector that exits. Tasks for which it panics or exits share a
// label.
func (c *config) textsOf(n int, task func(i int) (name, kind string)) []string {
	texts := make([]string, n)
	next := 0
	mapped := func() {
		for next < n {
			i := next
			next++
			texts[i] = overflow
			texts[i] = c.text(task(i))
		}
	}
	if c.taskLabel == nil {
		mapped()
		return texts
	}
	for next < n {
		done := make(chan struct{})
		// It ends with the last task, or with one for which the function does not return;
		// it is waited for here.
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			mapped()
		}()
		<-done
	}
	return texts
}
