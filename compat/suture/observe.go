package suture

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Observe says who watches the supervisors of the program. Each asks f once, when it
// begins to serve, with its name: the path from the root, such as "app/db", and a
// number if another of that name serves already. What f returns is given to
// [taskvisor.WithSubscriber]; nil is fine, and so is a subscriber that was returned
// before, if it serves several supervisors. Supervisors that serve already are not
// affected. f may be called concurrently. A nil f, as from the start, means nobody.
//
// Suture's own interface has no place for this, and supervisors are made in libraries
// that do not know of it; hence one setting for the process. It is safe for
// concurrent use.
//
// Subscribers with a method Close are closed when another supervisor of the same name
// begins, so that a registry of metrics takes the successor, or when 64 others have
// ended since.
func Observe(f func(supervisor string) []taskvisor.Subscribe) {
	watch.mu.Lock()
	defer watch.mu.Unlock()
	watch.asked = f
}

// maxEnded bounds the supervisors that have ended and whose subscribers are kept.
const maxEnded = 64

// watch is who watches, and whom.
var watch = watchers{serving: make(names)}

type watchers struct {
	mu      sync.Mutex // guards the fields below
	asked   func(string) []taskvisor.Subscribe
	serving names
	ended   []watched // the latest last
}

// watched is a supervisor and its subscribers.
type watched struct {
	name, base string
	subs       []taskvisor.Subscribe
}

// begin names a supervisor and asks who watches it.
func (w *watchers) begin(base string) watched {
	w.mu.Lock()
	v := watched{name: w.serving.take(base), base: base}
	asked := w.asked
	i := slices.IndexFunc(w.ended, func(other watched) bool { return other.name == v.name })
	var before watched
	if i >= 0 {
		before = w.ended[i]
		w.ended = slices.Delete(w.ended, i, i+1)
	}
	w.mu.Unlock()
	before.close()
	if asked != nil {
		v.subs = asked(v.name)
	}
	return v
}

// end follows when the supervisor has ended.
func (w *watchers) end(v watched) {
	w.mu.Lock()
	w.serving.free(v.base)
	var oldest watched
	if len(v.subs) > 0 {
		w.ended = append(w.ended, v)
		if len(w.ended) > maxEnded {
			oldest = w.ended[0]
			w.ended = slices.Delete(w.ended, 0, 1)
		}
	}
	w.mu.Unlock()
	oldest.close()
}

func (v watched) close() {
	for _, sub := range v.subs {
		if c, ok := sub.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// supervisor makes one with the options and v's subscribers; without these, and with a
// word in the log, if one of them refuses: a program does not go down because its
// metrics did.
func (v watched) supervisor(options ...taskvisor.Option) (*taskvisor.Supervisor, error) {
	all := slices.Clone(options)
	for _, sub := range v.subs {
		all = append(all, taskvisor.WithSubscriber(sub))
	}
	sup, err := taskvisor.New(all...)
	if err != nil && len(v.subs) > 0 {
		slog.Error("suture: the supervisor is not observed", "supervisor", v.name, "error", err)
		return taskvisor.New(options...)
	}
	return sup, err
}
