package lease_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A standby says so each time that it cannot see who has its lease, and once for each.
func TestOutagesOfAStandby(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		f.all[0].add("job", 0)
		f.runner("job", nil, time.Second)
		standby := f.all[1]
		standby.add("job", 0)
		for outage := range 3 {
			time.Sleep(3 * ttl)
			standby.conn.Cut(true)
			time.Sleep(5 * ttl)
			standby.conn.Cut(false)
			if n := len(standby.saw(lease.StoreFailed)); n != outage+1 {
				t.Errorf("after %d outages it has told of %d", outage+1, n)
			}
		}
	})
}

// So does an owner whose watch ends, for as long as it tells of nothing in between.
func TestWatchThatEnds(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		f.all[0].add("job", 0)
		f.runner("job", nil, time.Second)
		r := &replica{f: f, name: "watchful", conn: f.engine.Connect()}
		store := &fragile{Conn: r.conn, end: make(chan error)}
		r.owner = r.newOwner(store)
		r.sup, r.rec = taskvisortest.Start(t, taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin))
		f.all = append(f.all, r)
		r.add("job", 0)
		for outage := range 3 {
			time.Sleep(3 * ttl)
			for range 3 {
				store.end <- errors.New("the connection is closed")
			}
			time.Sleep(3 * ttl)
			if n := len(r.saw(lease.StoreFailed)); n != outage+1 {
				t.Errorf("after %d outages it has told of %d", outage+1, n)
			}
			token, err := r.conn.Acquire(t.Context(), "taskvisor/another", "somebody", ttl)
			if err == nil {
				err = r.conn.Release(t.Context(), "taskvisor/another", token)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// fragile is a store whose watches can be ended.
type fragile struct {
	*leasetest.Conn
	end chan error
}

func (s *fragile) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case err := <-s.end:
			cancel(err)
		case <-stopped:
		}
	}()
	return s.Conn.Watch(ctx, prefix, changed)
}

// A process that does not know who else is there says so, too: its shards stay as they are.
func TestOutageOfAShard(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		keys := numbered(3)
		h := r.shard(fixed(keys))
		f.allRun(keys, slack)
		for outage := range 2 {
			f.engine.SetDown(true)
			time.Sleep(slack)
			f.engine.SetDown(false)
			time.Sleep(slack)
			if n := len(r.saw(lease.StoreFailed)); n != outage+1 {
				t.Errorf("after %d outages it has told of %d", outage+1, n)
			}
		}
		h.Stop()
		time.Sleep(time.Second)
		if n := len(r.saw(lease.StoreFailed)); n != 2 {
			t.Errorf("its end is no failure: %v", r.saw(lease.StoreFailed))
		}
	})
}
