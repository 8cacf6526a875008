package healthsub

import (
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// Level says what a task means for the health of the process.
type Level uint8

// The levels.
const (
	Critical  Level = iota + 1 // the process is not ready without it; the default for [taskvisor.WithEssential]
	Degrading                  // its troubles are told and change nothing; the default for the others
	Ignored                    // it is not looked at
)

// String returns the stable label.
func (l Level) String() string {
	switch l {
	case Critical:
		return "critical"
	case Degrading:
		return "degrading"
	case Ignored:
		return "ignored"
	}
	return "unknown"
}

// MarshalText returns the label.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// known reports whether l is one of the levels.
func (l Level) known() bool { return l >= Critical && l <= Ignored }

// defaultLimit is well above what a busy machine makes a body late, and below the
// patience of those who call at night.
const defaultLimit = 30 * time.Second

// settings is what the options say. It is read only after New.
type settings struct {
	names   map[string]Level
	levelOf func(name, kind string) Level // nil: by default
	limit   time.Duration
	gates   []string // where a standby waits
	owners  []*lease.Owner
}

// Option configures a [Health]; see [New]. The interface is sealed.
type Option interface{ apply(s *settings) }

type option func(s *settings)

func (o option) apply(s *settings) { o(s) }

// WithLevel sets the level of the tasks of these names. It wins over [WithLevelFunc]
// and over the default. It panics at a level that is none of the three.
func WithLevel(l Level, names ...string) Option {
	if !l.known() {
		panic("healthsub: WithLevel: not a level")
	}
	return option(func(s *settings) {
		for _, n := range names {
			s.names[n] = l
		}
	})
}

// WithLevelFunc sets the level of a task by what f returns for its name and kind; any
// other value than the three levels means the default. f is called once for each task,
// when it is added, on the goroutine that adds it: it must be quick, must not block and
// must be safe for concurrent use. If it panics, the default holds.
func WithLevelFunc(f func(name, kind string) Level) Option {
	return option(func(s *settings) { s.levelOf = f })
}

// WithStuckLimit says for how long a critical task may be stuck or abandoned until the
// process is not live any more; 30 s by default. The time counts from the report of it
// ([taskvisor.TaskStuck], [taskvisor.TaskAbandoned]), which comes some seconds after
// the deadline or the stop. With d of 0 or less it is not live at once.
func WithStuckLimit(d time.Duration) Option {
	return option(func(s *settings) { s.limit = max(d, 0) })
}

// WithStandby names gates, by what their String method returns, at which a waiting task
// is a standby, and as ready as it can be. Gates named lease, or something that begins
// with that word and a space, always are.
func WithStandby(gates ...string) Option {
	return option(func(s *settings) { s.gates = append(s.gates, gates...) })
}

// standby reports whether a task that waits at the gate is a standby.
func (s *settings) standby(gate string) bool {
	if gate == "lease" || strings.HasPrefix(gate, "lease ") {
		return true
	}
	for _, g := range s.gates {
		if g == gate && gate != "" {
			return true
		}
	}
	return false
}
