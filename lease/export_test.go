package lease

import "fmt"

// Miscounted compares what the owner counts with its leases; "" if they agree.
func (o *Owner) Miscounted() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	sought, held := 0, 0
	for _, l := range o.leases {
		if l.state == Seeking {
			sought++
		}
		if l.renewable() {
			held++
		}
	}
	if sought == o.sought && held == o.held {
		return ""
	}
	return fmt.Sprintf("%d leases sought, %d counted; %d held, %d counted", sought, o.sought, held, o.held)
}
