package run

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Observe says who watches the groups of the program. Each run of a group asks f once,
// as it begins, with the name of its supervisor: "run", or "run #2" while another runs.
// What f returns is given to [taskvisor.WithSubscriber]; nil is fine, and so is a
// subscriber that was returned before, if it serves several supervisors. f may be
// called concurrently. A nil f, as from the start, means nobody.
//
// A Group has no place for this, and groups are run in libraries that do not know of it;
// hence one setting for the process. It is safe for concurrent use.
//
// Subscribers with a method Close are closed when the next group of that name runs, so
// that a registry of metrics takes the successor.
func Observe(f func(supervisor string) []taskvisor.Subscribe) {
	watch.mu.Lock()
	defer watch.mu.Unlock()
	watch.asked = f
}

var watch watchers

// watchers is who watches, and the groups by number. Numbers are taken again, the
// lowest first, so that there are no more than groups ran at a time.
type watchers struct {
	mu     sync.Mutex // guards the fields below, and those of groups
	asked  func(string) []taskvisor.Subscribe
	groups []*watched
}

type watched struct {
	name string
	runs bool
	subs []taskvisor.Subscribe // kept after the end
}

func (w *watchers) begin() *watched {
	w.mu.Lock()
	i := slices.IndexFunc(w.groups, func(g *watched) bool { return !g.runs })
	if i < 0 {
		i = len(w.groups)
		w.groups = append(w.groups, &watched{name: "run"})
		if i > 0 {
			w.groups[i].name = fmt.Sprintf("run #%d", i+1)
		}
	}
	g, asked := w.groups[i], w.asked
	before := g.subs
	g.runs, g.subs = true, nil
	w.mu.Unlock()
	for _, sub := range before {
		if c, ok := sub.(interface{ Close() }); ok {
			c.Close()
		}
	}
	if asked != nil {
		g.subs = asked(g.name) // g is the caller's until end
	}
	return g
}

func (w *watchers) end(g *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g.runs = false
}

// supervisor makes one with the options and g's subscribers; without these, and with a
// word in the log, if one of them refuses: a program does not go down because its
// metrics did.
func (g *watched) supervisor(options ...taskvisor.Option) (*taskvisor.Supervisor, error) {
	all := slices.Clone(options)
	for _, sub := range g.subs {
		all = append(all, taskvisor.WithSubscriber(sub))
	}
	sup, err := taskvisor.New(all...)
	if err != nil && len(g.subs) > 0 {
		slog.Error("run: the group is not observed", "supervisor", g.name, "error", err)
		return taskvisor.New(options...)
	}
	return sup, err
}
