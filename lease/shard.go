package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Shard spreads tasks over processes: each key that keys returns has one task, that of
// spec(key), in one of the processes whose owners call Shard with the same store and
// prefix. It blocks until ctx ends, has then stopped its tasks, and returns ctx's cause;
// or an error that it cannot go on with, of Add, say. It stops them as well if keys or spec
// panics or calls [runtime.Goexit]. Run it as a task of sup:
//
//	taskvisor.Restartable("shards", func(ctx context.Context) error {
//		return owner.Shard(ctx, sup, folders, index)
//	})
//
// A process is a member as long as it has the lease of its presence. A key belongs to
// the member with the highest score for it (rendezvous hashing), so that a member that
// comes or goes moves its own share and nothing else. Whoever a key belongs to registers
// the task, which waits at the gate "lease" until the lease of the key is free: moves do
// not overlap. A member gives away at most a tenth of its keys at a time.
//
// keys is called every fifth of the TTL, and at least every 2 s; with an error, what it
// returned last stands. spec is called once for each key that comes to belong to this
// process, and names its task; it is called again as long as that name is taken by a body
// that was abandoned, which keeps no other key waiting. A task that ends by itself is not
// run again, unless the key goes and comes. Task and supervisor must be as
// [Owner.Singleton] says.
//
// An owner has one Shard at a time: give another set of keys an owner with a prefix of
// its own.
func (o *Owner) Shard(ctx context.Context, sup *taskvisor.Supervisor, keys func(context.Context) ([]string, error), spec func(key string) taskvisor.TaskSpec) error {
	if !o.attached(sup) {
		return errNoSubscriber
	}
	s := &sharding{o: o, sup: sup, keys: keys, spec: spec, tasks: make(map[string]*shard), kick: make(chan struct{}, 1)}
	o.mu.Lock()
	if o.sharding != nil {
		o.mu.Unlock()
		return errors.New("lease: this owner has a Shard already")
	}
	o.sharding = s
	o.mu.Unlock()
	defer o.do(func(*acts, time.Time) { o.sharding = nil }) // also if keys or spec panics
	return s.run(ctx)
}

// sharding is one call of Shard. Only its goroutine uses it, but for kick.
type sharding struct {
	o    *Owner
	sup  *taskvisor.Supervisor
	keys func(context.Context) ([]string, error)
	spec func(key string) taskvisor.TaskSpec

	all   []string          // keys, as last told
	tasks map[string]*shard // of this process
	kick  chan struct{}     // of capacity 1: members have changed
}

type shard struct {
	h      *taskvisor.Handle
	moving bool // stopped, because it is another's
}

func (s *sharding) run(ctx context.Context) (err error) {
	name := memberPart + s.o.id
	s.o.do(func(x *acts, now time.Time) {
		l := s.o.leaseLocked(name, now)
		l.claims++
		l.settle(x, now)
	})
	defer s.o.unclaim(name)
	err = errUnreturned
	defer func() { s.stopAll(err) }()
	for {
		if err := s.step(ctx); err != nil {
			return err
		}
		timer := time.NewTimer(jitter(min(s.o.every(), maxScan) * 4 / 5))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		case <-s.kick:
			timer.Stop()
		}
	}
}

// step compares what is with what should be. What cannot be found out now is left as
// it is.
func (s *sharding) step(ctx context.Context) error {
	members, ok := s.members(ctx)
	if !ok {
		return nil
	}
	if all, err := s.keys(ctx); err == nil {
		s.all = all
	} else {
		s.o.observe(Event{Time: time.Now(), Kind: KeysFailed, Owner: s.o.id, Err: err})
	}
	if err := s.ended(); err != nil {
		return err
	}
	mine := make(map[string]bool)
	exists := make(map[string]bool, len(s.all))
	for _, key := range s.all {
		exists[key] = true
		if belongsTo(key, members) == s.o.id {
			mine[key] = true
		}
	}
	s.giveAway(mine, exists)
	for _, key := range s.all {
		if !mine[key] || s.tasks[key] != nil {
			continue
		}
		if err := s.add(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// members lists who is there. It is not ok if nobody knows, or we are not ourselves.
func (s *sharding) members(ctx context.Context) (ids []string, ok bool) {
	asked, cancel := context.WithTimeout(ctx, s.o.patience())
	defer cancel()
	holders, err := s.o.store.Holders(asked, s.o.prefix+memberPart)
	if ctx.Err() != nil {
		return nil, false
	}
	s.o.do(func(x *acts, now time.Time) { s.o.failed(x, &s.o.blind, err, now) })
	if err != nil {
		return nil, false
	}
	for key := range holders {
		if id, isMember := s.o.memberOf(key); isMember {
			ids = append(ids, id)
		}
	}
	return ids, slices.Contains(ids, s.o.id)
}

// ended forgets tasks that have gone to others. One that was refused is an error, one
// that has ended by itself is kept in mind.
func (s *sharding) ended() error {
	for key, t := range s.tasks {
		o, known := t.h.Outcome()
		if !known {
			continue
		}
		var refused *graceError
		switch {
		case errors.As(o.Err, &refused):
			return refused
		case errors.Is(o.Err, errNoSubscriber):
			return errNoSubscriber
		}
		if t.moving {
			delete(s.tasks, key)
		}
	}
	return nil
}

// giveAway stops the tasks of keys that are others' or do not exist any more; of those
// that have their lease, a tenth at a time.
func (s *sharding) giveAway(mine, exists map[string]bool) {
	moving := 0
	for _, t := range s.tasks {
		if t.moving {
			moving++
		}
	}
	budget := max(1, len(s.tasks)/10) - moving
	for key, t := range s.tasks {
		if mine[key] || t.moving {
			continue
		}
		if exists[key] && s.o.has(shardPart+key) {
			if budget <= 0 {
				continue
			}
			budget--
		}
		t.moving = true
		t.h.StopFor(errMoved)
	}
}

var (
	errMoved      = errors.New("lease: the key belongs to another process, or to none any more")
	errUnreturned = errors.New("lease: Shard has not returned: its keys or spec panicked, or ended the goroutine")
)

func (s *sharding) add(ctx context.Context, key string) error {
	if err := validKey("key", key); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	spec := s.spec(key).With(taskvisor.WithGate(&gate{o: s.o, name: shardPart + key, label: sharedGate}))
	if before, taken := s.sup.Lookup(spec.Name()); taken && before.Status().State == taskvisor.StateAbandoned {
		return nil // not yet: the name is free when that body is back
	}
	h, err := s.sup.Add(ctx, spec)
	if err == nil {
		s.tasks[key] = &shard{h: h}
	}
	return err
}

// stopAll stops the tasks and waits for them, each at most its grace. Those that this
// call cannot wait for are stopped all the same.
func (s *sharding) stopAll(cause error) {
	for _, t := range s.tasks {
		t.h.StopFor(cause)
	}
	for _, t := range s.tasks {
		<-t.h.Done()
	}
}

// has reports whether the lease is ours.
func (o *Owner) has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.leases[o.prefix+name]
	return l != nil && l.state == Held
}

// belongsTo returns the member with the highest score for key.
func belongsTo(key string, members []string) (best string) {
	var most uint64
	for _, m := range members {
		if score := score(m, key); best == "" || score > most || score == most && m < best {
			best, most = m, score
		}
	}
	return best
}

// score is the same in every process: FNV-1a, whose bits are then mixed, since names
// that differ in their last byte alone would otherwise have like scores.
func score(member, key string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{member, "\x00", key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
