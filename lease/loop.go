package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// loop is a goroutine that an owner has while there is something for it to do.
type loop struct {
	on   bool          // guarded by the owner's lock
	kick chan struct{} // of capacity 1: it is to look again
}

// startLocked starts run unless it is on. The owner's lock is held.
func (p *loop) startLocked(run func()) {
	if p.on {
		return
	}
	p.on = true
	if p.kick == nil {
		p.kick = make(chan struct{}, 1)
	}
	// Started by whoever made the first transition that needs it; ends when nothing
	// does any more, which it decides with the lock held; nobody waits for it.
	go run()
}

// wake ends a sleep.
func (p *loop) wake() {
	select {
	case p.kick <- struct{}{}:
	default: // it is to look already, or has never been started
	}
}

// sleep waits for d or a wake, and reports whether it was d.
func (p *loop) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.kick:
		return false
	}
}

// loopsLocked starts what the state of the leases needs, and wakes what it needs no more.
func (o *Owner) loopsLocked() {
	for o.workers < min(len(o.queue), maxWorkers) {
		o.workers++
		// Started by the transition that has put a request into the queue; ends when
		// the queue is empty; nobody waits for it.
		go o.worker()
	}
	if o.held > 0 {
		o.keeper.startLocked(o.keep)
	} else if o.keeper.on {
		o.keeper.wake()
	}
	if o.held == 0 && o.scribe.on {
		o.scribe.wake()
	}
	if o.sought > 0 {
		o.seeker.startLocked(o.seek)
	} else if o.seeker.on {
		o.seeker.wake()
	}
	if w, ok := o.store.(Watcher); ok && (o.sought > 0 || o.sharding != nil) {
		o.watcher.startLocked(func() { o.watch(w) })
	} else if o.watcher.on {
		o.watcher.wake()
	}
}

// seek looks every now and then for leases that have become free, until none is sought.
func (o *Owner) seek() {
	for {
		pause, sought := o.pause()
		if !sought {
			return
		}
		if o.seeker.sleep(jitter(pause)) {
			o.scan()
		}
	}
}

// pause is the time between two looks. If nothing is sought, the seeker has ended.
func (o *Owner) pause() (d time.Duration, sought bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seeker.on = o.sought > 0
	if o.watches {
		return o.ttl / 2, o.seeker.on
	}
	return min(o.every(), maxScan), o.seeker.on
}

// scan asks for the leases that are sought and free.
func (o *Owner) scan() {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience())
	defer cancel()
	holders, err := o.store.Holders(ctx, o.prefix)
	o.do(func(x *acts, now time.Time) {
		o.failed(x, &o.blind, err, now)
		if err != nil {
			return
		}
		for key, l := range o.leases {
			if l.state != Seeking {
				continue
			}
			if holder := holders[key]; holder != "" && holder != o.id {
				l.holder = holder
				continue
			}
			l.look(x, now)
		}
	})
}

// failed tells of a request for many leases if it has failed, and the last one of its kind
// has not.
func (o *Owner) failed(x *acts, before *bool, err error, now time.Time) {
	if err != nil && !*before {
		x.events = append(x.events, Event{Time: now, Kind: StoreFailed, Owner: o.id, Err: err})
	}
	*before = err != nil
}

// look asks once more for a lease that is sought.
func (l *lease) look(x *acts, now time.Time) {
	if l.state == Seeking {
		l.again = true
		l.settle(x, now)
	}
}

// watch has leases asked for when the store tells of a change, until none is sought and
// nothing is sharded.
func (o *Owner) watch(w Watcher) {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		// Started by the watcher, which waits for it; ends with ctx.
		go func() {
			defer close(done)
			done <- w.Watch(ctx, o.prefix, o.changed)
		}()
		err := error(nil)
		for sought := true; sought && err == nil; {
			select {
			case err = <-done:
				if err == nil {
					err = errors.New("the watch has ended")
				}
			case <-o.watcher.kick:
				sought = o.watching()
			}
		}
		cancel()
		if err == nil {
			for range done {
				continue // until it has returned
			}
			return
		}
		o.do(func(x *acts, now time.Time) {
			o.watches = false
			o.failed(x, &o.deaf, err, now)
		})
		for again := time.Now().Add(jitter(o.every())); time.Now().Before(again); {
			o.watcher.sleep(time.Until(again))
			if !o.watching() {
				return
			}
		}
	}
}

// watching reports whether a lease is sought, or keys are sharded. If not, the watcher
// has ended.
func (o *Owner) watching() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watcher.on = o.sought > 0 || o.sharding != nil
	o.watches = o.watches && o.watcher.on
	return o.watcher.on
}

// changed is told by the store.
func (o *Owner) changed(key string) {
	o.do(func(x *acts, now time.Time) {
		o.watches, o.deaf = true, false
		if _, isMember := o.memberOf(key); o.sharding != nil && (isMember || key == "") {
			select {
			case o.sharding.kick <- struct{}{}:
			default: // it is to look already
			}
		}
		if l := o.leases[key]; l != nil {
			l.look(x, now)
		}
		if key == "" {
			for _, l := range o.leases {
				l.look(x, now)
			}
		}
	})
}

// jitter spreads d by a quarter to both sides, so that replicas do not step together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
