package kubelease_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/taskvisor/taskvisor-go/lease"
	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
)

var errNetwork = errors.New("the network is at fault")

// network is between a client and the server, with faults of the next change (PUT).
type network struct {
	next http.RoundTripper

	mu       sync.Mutex // guards the fields below
	lose     int        // answers of changes to lose
	keep     int        // changes to keep for later
	kept     []func() int
	refuse   string // the changes of objects with this in their names
	rewrite  func(r *http.Request)
	requests int
}

func (n *network) wrap(c *rest.Config) {
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		n.next = next
		return n
	})
}

func (n *network) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requests
}

// arrive has the changes that were kept reach the server, and returns its answers.
func (n *network) arrive() (codes []int) {
	n.mu.Lock()
	kept := n.kept
	n.kept = nil
	n.mu.Unlock()
	for _, request := range kept {
		codes = append(codes, request())
	}
	return codes
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.requests++
	lose, keep := false, false
	if r.Method == http.MethodPut {
		switch {
		case n.refuse != "" && strings.Contains(r.URL.Path, n.refuse):
			n.mu.Unlock()
			return &http.Response{StatusCode: http.StatusForbidden, Body: io.NopCloser(strings.NewReader("a webhook says no")), Request: r}, nil
		case n.keep > 0:
			n.keep--
			keep = true
		case n.lose > 0:
			n.lose--
			lose = true
		}
	}
	if n.rewrite != nil {
		r = r.Clone(r.Context())
		n.rewrite(r)
	}
	n.mu.Unlock()
	if keep {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		late := r.Clone(context.Background())
		n.set(func() {
			n.kept = append(n.kept, func() int {
				late.Body = io.NopCloser(bytes.NewReader(body))
				resp, err := n.next.RoundTrip(late)
				if err != nil {
					return 0
				}
				_ = resp.Body.Close()
				return resp.StatusCode
			})
		})
		return nil, errNetwork
	}
	resp, err := n.next.RoundTrip(r)
	if lose && err == nil {
		_ = resp.Body.Close()
		return nil, errNetwork
	}
	return resp, err
}

// A renewal whose answer is lost is carried out: the next one finds a version that it did
// not expect, looks, and goes on.
func TestLostAnswerIsNoLostLease(t *testing.T) {
	s, ctx := start(t), context.Background()
	n := &network{}
	a, k := kubelease.New(leases(t, s, n.wrap)), key(t, "k")
	token := take(t, a, k, "a")
	for range 2 {
		n.set(func() { n.lose = 1 })
		if gone, err := a.Renew(ctx, "a", map[string]uint64{k: token}, long); !errors.Is(err, errNetwork) || len(gone) != 0 {
			t.Fatalf("lost %q: %v", gone, err)
		}
		if lost(t, a, k, "a", token) {
			t.Fatal("it is lost")
		}
	}
	// A release that was answered by nobody has happened; it can be repeated.
	n.set(func() { n.lose = 1 })
	if err := a.Release(ctx, k, token); !errors.Is(err, errNetwork) {
		t.Errorf("release: %v", err)
	}
	if err := a.Release(ctx, k, token); err != nil {
		t.Errorf("release: %v", err)
	}
	take(t, kubelease.New(leases(t, s, nil)), k, "b")
}

// An object that the server does not let change costs none of the other leases: the error
// says which it is, and they are renewed.
func TestOneRefusedOfMany(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	n := &network{}
	a := kubelease.New(leases(t, s, n.wrap))
	held, before := make(map[string]uint64), make(map[string]string)
	for _, name := range []string{"one", "two", "guarded"} {
		k := key(t, name)
		held[k] = take(t, a, k, "a")
		before[k] = object(t, admin, k).ResourceVersion
	}
	n.set(func() { n.refuse = "guarded" })
	gone, err := a.Renew(ctx, "a", held, long)
	var some *lease.RenewError
	if !errors.As(err, &some) || len(some.Keys) != 1 || !strings.HasSuffix(some.Keys[0], "guarded") || !apierrors.IsForbidden(err) || len(gone) != 0 {
		t.Fatalf("lost %q: %v", gone, err)
	}
	for k := range held {
		if renewed := object(t, admin, k).ResourceVersion != before[k]; renewed == slices.Contains(some.Keys, k) {
			t.Errorf("%q is renewed: %t", k, renewed)
		}
	}
	n.set(func() { n.refuse = "" })
	if gone, err := a.Renew(ctx, "a", held, long); err != nil || len(gone) != 0 {
		t.Errorf("then lost %q: %v", gone, err)
	}
}

// Of an acquisition without an answer nobody was told: no renewal keeps it, and the owner
// that asks again has it under another token.
func TestAcquisitionWithoutAnAnswer(t *testing.T) {
	s, ctx := start(t), context.Background()
	n := &network{}
	a, b, k := kubelease.New(leases(t, s, n.wrap)), kubelease.New(leases(t, s, nil)), key(t, "k")
	first := take(t, a, k, "a")
	n.set(func() { n.lose = 1 })
	if token, err := a.Acquire(ctx, k, "a", long); !errors.Is(err, errNetwork) || token != 0 {
		t.Fatalf("token %d: %v", token, err)
	}
	if !lost(t, a, k, "a", first) {
		t.Error("the earlier lease is still there")
	}
	if _, err := b.Acquire(ctx, k, "b", long); !errors.Is(err, lease.ErrHeld) {
		t.Errorf("another has it: %v", err)
	}
	if second := take(t, a, k, "a"); second <= first+1 {
		t.Errorf("token %d, after %d and one that nobody was told", second, first)
	}
}

// Requests that arrive late are refused: whatever came after them stays.
func TestLateRequests(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	n := &network{}
	a, b := kubelease.New(leases(t, s, n.wrap)), kubelease.New(leases(t, s, nil))
	keep := func() { n.set(func() { n.keep = 1 }) }
	refused := func(t *testing.T, k string) {
		t.Helper()
		before := object(t, admin, k)
		if codes := n.arrive(); len(codes) != 1 || codes[0] != http.StatusConflict {
			t.Errorf("the server answers %v", codes)
		}
		after := object(t, admin, k)
		if (before == nil) != (after == nil) || before != nil && before.ResourceVersion != after.ResourceVersion {
			t.Errorf("it has changed %+v to %+v", before, after)
		}
	}
	t.Run("renewal", func(t *testing.T) {
		k := key(t, "k")
		token := take(t, a, k, "a")
		keep()
		if _, err := a.Renew(ctx, "a", map[string]uint64{k: token}, long); !errors.Is(err, errNetwork) {
			t.Fatal(err)
		}
		if err := b.Release(ctx, k, token); err != nil {
			t.Fatal(err)
		}
		take(t, b, k, "b")
		refused(t, k)
	})
	t.Run("release", func(t *testing.T) {
		k := key(t, "k")
		token := take(t, a, k, "a")
		keep()
		if err := a.Release(ctx, k, token); !errors.Is(err, errNetwork) {
			t.Fatal(err)
		}
		again := take(t, a, k, "a")
		refused(t, k)
		if lost(t, a, k, "a", again) {
			t.Error("it is lost")
		}
	})
	t.Run("acquisition", func(t *testing.T) {
		k := key(t, "k")
		if err := b.Release(ctx, k, take(t, b, k, "b")); err != nil {
			t.Fatal(err)
		}
		keep()
		if _, err := a.Acquire(ctx, k, "a", long); !errors.Is(err, errNetwork) {
			t.Fatal(err)
		}
		token := take(t, b, k, "b")
		refused(t, k)
		if lost(t, b, k, "b", token) {
			t.Error("it is lost")
		}
	})
	// A PUT may make an object of this kind; of one that somebody has deleted it must not.
	t.Run("after a deletion", func(t *testing.T) {
		k := key(t, "k")
		token := take(t, a, k, "a")
		keep()
		if _, err := a.Renew(ctx, "a", map[string]uint64{k: token}, long); !errors.Is(err, errNetwork) {
			t.Fatal(err)
		}
		if err := admin.Delete(ctx, object(t, admin, k).Name, meta.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		refused(t, k)
	})
}

// A lease that is held costs one request for each renewal and one for its release, and
// taking it two, or three if nobody ever had it.
func TestRequests(t *testing.T) {
	s, ctx := start(t), context.Background()
	n := &network{}
	a, k := kubelease.New(leases(t, s, n.wrap)), key(t, "k")
	var token uint64
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"first", func() { token = take(t, a, k, "a") }, 3},
		{"renewal", func() { lost(t, a, k, "a", token) }, 1},
		{"another", func() { lost(t, a, k, "a", token) }, 1},
		{"release", func() { _ = a.Release(ctx, k, token) }, 1},
		{"second", func() { token = take(t, a, k, "a") }, 2},
		{"refused", func() { _, _ = a.Acquire(ctx, k, "b", long) }, 1},
		{"holders", func() { _, _ = a.Holders(ctx, k) }, 1},
		{"renewal of what is unknown", func() { lost(t, a, k, "a", token+1) }, 0},
	} {
		before := n.count()
		step.do()
		if made := n.count() - before; made != step.want {
			t.Errorf("%s: %d requests, not %d", step.what, made, step.want)
		}
	}
}
