package livesub

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// WithLeases adds a section "leases" with those that the owners have, or wait for: what
// each is for, in what state and since when, who has it as far as is known, its token,
// the least time that was left when it was renewed, and the tasks that want it.
func WithLeases(owners ...*lease.Owner) Option {
	owners = slices.Clone(owners)
	return WithSection("leases", func() Section { return leaseSection(owners) })
}

// leaseSection makes the table: those of singletons first, of which there are few.
func leaseSection(owners []*lease.Owner) Section {
	sec := Section{Columns: []string{"lease", "for a", "state", "since", "holder", "token", "margin", "tasks"}}
	var all []lease.Status
	mine := make(map[string]bool, len(owners))
	for _, o := range owners {
		mine[o.ID()] = true
		all = append(all, o.Status()...)
	}
	slices.SortStableFunc(all, func(a, b lease.Status) int { return cmp.Or(cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.Key, b.Key)) })
	for i := range all {
		sec.Rows = append(sec.Rows, leaseRow(&all[i], mine))
	}
	return sec
}

func leaseRow(st *lease.Status, mine map[string]bool) []string {
	state, holder, token, margin := st.State.String(), st.Holder, "", ""
	if st.Lapsing {
		state += ", expires"
	}
	if mine[st.Holder] {
		holder += " (here)"
	}
	if st.Token != 0 {
		token = strconv.FormatUint(st.Token, 10)
	}
	if st.State == lease.Held {
		margin = st.Margin.Round(time.Millisecond).String()
	}
	// A time and no age: the page is sent again when what it shows has changed.
	return []string{st.Key, st.Mode.String(), state, utc(st.Since).Format(time.RFC3339), holder, token, margin, strings.Join(st.Tasks, ", ")}
}
