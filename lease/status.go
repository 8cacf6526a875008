package lease

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Mode is what a lease is for.
type Mode uint8

// The modes.
const (
	ModeSingleton Mode = iota + 1 // [Owner.Singleton]: every process has the task, one runs it
	ModeShard                     // a key of [Owner.Shard]: only the process that it belongs to has the task
	ModeSlot                      // of [Owner.Slot]: for as long as what was submitted takes
	ModePresence                  // of no task: that this process is there to have keys
)

var modeLabels = []string{"", "singleton", "shard", "slot", "presence"}

// String returns the stable label.
func (m Mode) String() string { return label(modeLabels, uint8(m)) }

// MarshalText returns the label.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// modeOf tells by the part of the key space.
func modeOf(name string) Mode {
	switch {
	case strings.HasPrefix(name, shardPart):
		return ModeShard
	case strings.HasPrefix(name, slotPart):
		return ModeSlot
	case strings.HasPrefix(name, memberPart):
		return ModePresence
	}
	return ModeSingleton
}

// Status is one lease at one instant, as its owner sees it.
type Status struct {
	Key      string // without the prefix
	State    State
	Since    time.Time          // of the state
	Token    uint64             // of Held, Losing and Leaving
	Holder   string             // who has it, where that is known; this owner itself, of Held
	Deadline time.Time          // until when it is relied on, of Held
	Margin   time.Duration      // the least time that was left before the deadline when a renewal was answered
	Lapsing  bool               // it is not renewed any more: a body was abandoned
	Mode     Mode               // what it is for
	Tasks    []string           // that have it or wait for it, by name
	IDs      []taskvisor.TaskID // theirs, in no order
}

// Status returns the leases that this owner has, waits for or gives back, by key. It
// belongs to the caller.
func (o *Owner) Status() []Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]Status, 0, len(o.leases))
	for _, l := range o.leases {
		st := Status{Key: l.name, State: l.state, Since: l.since, Token: l.token, Holder: l.holder, Lapsing: l.lapsing, Mode: modeOf(l.name)}
		if l.state == Held {
			st.Holder, st.Deadline, st.Margin = o.id, l.sent.Add(o.deadline()), l.least
		}
		for _, m := range l.members {
			st.Tasks = append(st.Tasks, m.task)
			st.IDs = append(st.IDs, m.id)
		}
		slices.Sort(st.Tasks)
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Key, b.Key) })
	return list
}
