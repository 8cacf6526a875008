package kubelease_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
)

// watched is a watch that runs.
type watched struct {
	changed chan string
	done    chan error
	cancel  context.CancelFunc
}

func watchKeys(s *kubelease.Store, prefix string) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{make(chan string, 100), make(chan error, 1), cancel}
	go func() { w.done <- s.Watch(ctx, prefix, func(key string) { w.changed <- key }) }()
	return w
}

// wait waits until the watch tells of a key.
func (w *watched) wait(t *testing.T, key string, limit time.Duration) {
	t.Helper()
	for timeout := time.After(limit); ; {
		select {
		case told := <-w.changed:
			if told == key {
				return
			}
		case err := <-w.done:
			t.Fatalf("the watch has ended: %v", err)
		case <-timeout:
			t.Fatalf("nobody told of %q in %s", key, limit)
		}
	}
}

// on releases a lease again and again until the watch tells of it: nothing says when a
// watch is on.
func (w *watched) on(t *testing.T, a *kubelease.Store, k string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; {
		if err := a.Release(context.Background(), k, take(t, a, k, "a")); err != nil {
			t.Fatal(err)
		}
		select {
		case told := <-w.changed:
			if told == k {
				return
			}
		case err := <-w.done:
			t.Fatalf("the watch has ended: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Fatal("the watch is not on")
}

// Servers end watches after a while. What happens meanwhile is told all the same.
func TestWatchGoesOn(t *testing.T) {
	s := start(t)
	n, streams := &network{}, make(chan struct{}, 100)
	n.set(func() {
		n.rewrite = func(r *http.Request) {
			if q := r.URL.Query(); q.Get("watch") != "" {
				q.Set("timeoutSeconds", "6") // of minutes
				u := *r.URL
				u.RawQuery = q.Encode()
				r.URL = &u
				streams <- struct{}{}
			}
		}
	})
	a, b := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, n.wrap))
	prefix := key(t, "")
	w := watchKeys(b, prefix)
	defer w.cancel()
	w.on(t, a, prefix+"first")
	for range 2 {
		select {
		case <-streams:
		case <-time.After(20 * time.Second):
			t.Fatal("the server did not end the watch")
		}
	}
	w.on(t, a, prefix+"second")
	w.cancel()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

// A watch from a version that the server has no more, as after a long time without a
// connection, begins anew.
func TestWatchFromLongAgo(t *testing.T) {
	s := start(t)
	s.Kill() // what was before its start the server does not remember
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	n, old := &network{}, true
	n.set(func() {
		n.rewrite = func(r *http.Request) {
			if q := r.URL.Query(); q.Get("watch") != "" && old {
				old = false // guarded as rewrite is
				q.Set("resourceVersion", "1")
				u := *r.URL
				u.RawQuery = q.Encode()
				r.URL = &u
			}
		}
	})
	a, b := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, n.wrap))
	prefix := key(t, "")
	w := watchKeys(b, prefix)
	defer w.cancel()
	w.on(t, a, prefix+"k")
}

// A watch ends with an error where the server refuses it, rather than ask again at once.
func TestWatchThatIsRefused(t *testing.T) {
	s := start(t)
	n := &network{}
	n.set(func() {
		n.rewrite = func(r *http.Request) {
			if r.URL.Query().Get("watch") != "" {
				u := *r.URL
				u.Path = strings.Replace(u.Path, "/"+namespace+"/", "/kube-system/", 1)
				r.URL = &u
			}
		}
	})
	w := watchKeys(kubelease.New(leases(t, s, n.wrap)), "k")
	defer w.cancel()
	select {
	case err := <-w.done:
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
	if made := n.count(); made != 2 {
		t.Errorf("%d requests", made)
	}
}

// An expiry is told although nothing happens in the server, also of an object that is not
// there any more; and then the lease can be had.
func TestWatchTellsOfExpiry(t *testing.T) {
	s := start(t)
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, b := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil))
	prefix := key(t, "")
	w := watchKeys(b, prefix)
	defer w.cancel()
	w.on(t, a, prefix+"first")
	for _, name := range []string{"forgotten", "deleted"} {
		k := prefix + name
		begun := time.Now()
		first := takeFor(t, a, k, "a", ttl)
		if name == "deleted" {
			if err := admin.Delete(context.Background(), object(t, admin, k).Name, meta.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		w.wait(t, k, 10*ttl)
		if took := time.Since(begun); took < ttl {
			t.Errorf("told of %q after %s", k, took)
		}
		if token := take(t, b, k, "b"); token <= first {
			t.Errorf("token %d after %d", token, first)
		}
	}
}

// So is a takeover without a release, here by hand, with the same count.
func TestWatchTellsOfATakeover(t *testing.T) {
	s := start(t)
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, b := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil))
	prefix := key(t, "")
	w := watchKeys(b, prefix)
	defer w.cancel()
	w.on(t, a, prefix+"first")
	k := prefix + "k"
	token, err := a.Acquire(context.Background(), k, "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	thief := "thief"
	edit(t, admin, k, func(l *coordination.Lease) { l.Spec.HolderIdentity = &thief })
	w.wait(t, k, 20*time.Second)
	if holders, err := b.Holders(context.Background(), k); err != nil || holders[k] != thief {
		t.Errorf("holders %v: %v", holders, err)
	}
	if !lost(t, a, k, "a", token) {
		t.Error("whoever had it does not notice")
	}
}

// A lease that is renewed is not told of.
func TestWatchIsQuiet(t *testing.T) {
	const wide = 3 * ttl
	s, ctx := start(t), context.Background()
	a, b := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil))
	prefix := key(t, "")
	w := watchKeys(b, prefix)
	defer w.cancel()
	w.on(t, a, prefix+"first")
	k := prefix + "k"
	held := map[string]uint64{k: takeFor(t, a, k, "a", wide)}
	for begun := time.Now(); time.Since(begun) < wide*3/2; time.Sleep(wide / 20) {
		sent := time.Now()
		if gone, err := a.Renew(ctx, "a", held, wide); err != nil || len(gone) != 0 {
			t.Fatalf("lost %q: %v", gone, err)
		}
		if time.Since(sent) > wide/4 {
			t.Skip("this machine is too busy to renew in time")
		}
		select {
		case told := <-w.changed:
			if told == k {
				t.Fatal("it tells of a lease that is held")
			}
		default:
		}
	}
}
