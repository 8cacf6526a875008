package healthsub

import (
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// maxLeases are in one status; the others are counted.
const maxLeases = 100

// WithLeases has a status say what leases the owners have, or wait for, and who has
// these. They decide nothing: whether a task is ready does.
func WithLeases(owners ...*lease.Owner) Option {
	return option(func(s *settings) { s.owners = append(s.owners, owners...) })
}

// Lease is a lease as its owner in this process sees it. It marshals to JSON.
type Lease struct {
	Key    string      `json:"key"`
	State  lease.State `json:"state"`
	Since  time.Time   `json:"since"`           // of the state
	Holder string      `json:"holder,omitzero"` // where that is known; the owner's own id, of one that is held
	Token  uint64      `json:"token,omitzero"`
	Margin float64     `json:"margin_seconds,omitzero"` // the least that was left when it was renewed
	Tasks  []string    `json:"tasks,omitempty"`         // that have it or wait for it
}

// leases lists those of tasks, one owner after the other.
func (s *settings) leases() (all []Lease, leftOut int) {
	for _, o := range s.owners {
		for _, st := range o.Status() {
			switch {
			case st.Mode == lease.ModePresence:
			case len(all) == maxLeases:
				leftOut++
			default:
				all = append(all, Lease{st.Key, st.State, st.Since.UTC().Round(0), st.Holder, st.Token, st.Margin.Seconds(), slices.Clone(st.Tasks)})
			}
		}
	}
	return all, leftOut
}
