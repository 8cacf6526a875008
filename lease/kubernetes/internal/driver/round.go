package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

// measured is what one round has shown.
type measured struct {
	takeover time.Duration // from the fault to the first write of another
	stopped  time.Duration // from the fault to the last write of the old one
	overlap  time.Duration // from the first write of another to the last of the old one
	doubled  int           // writes of the old one in that time
}

// rig is three replicas, each behind a proxy of its own to the API server.
type rig struct {
	resource resource
	proxies  []*proxy
	stop     context.CancelFunc
	stopOf   []context.CancelFunc
	done     sync.WaitGroup
}

func newRig(s *server.Server, by string, ttl time.Duration) (*rig, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &rig{stop: cancel}
	key := fmt.Sprintf("%s-%d", by, time.Now().UnixNano())
	for i := range 3 {
		p, err := newProxy(s.Addr())
		if err != nil {
			g.end()
			return nil, err
		}
		g.proxies = append(g.proxies, p)
		config := s.Config(server.Administrator)
		config.Host = "https://" + p.addr()
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			g.end()
			return nil, err
		}
		r := &replica{i, client, ttl, &g.resource, key}
		own, stop := context.WithCancel(ctx)
		g.stopOf = append(g.stopOf, stop)
		g.done.Go(func() { // ends with its context; end waits for it
			if err := r.run(own, by); err != nil && own.Err() == nil {
				fmt.Println(r.name(), err)
			}
		})
	}
	return g, nil
}

// end stops the replicas.
func (g *rig) end() {
	for _, p := range g.proxies {
		p.setCut(false)
	}
	g.stop()
	g.done.Wait()
	for _, p := range g.proxies {
		p.close()
	}
}

// round starts everything, brings a fault about and measures.
func round(s *server.Server, by, fault string, ttl time.Duration) (m measured, err error) {
	g, err := newRig(s, by, ttl)
	if err != nil {
		return m, err
	}
	defer g.end()
	old, err := g.owner()
	if err != nil {
		return m, err
	}
	// Somewhere between two renewals, and long enough for all to be in place.
	time.Sleep(ttl/2 + time.Duration(time.Now().UnixNano())%(ttl/2))
	begun := time.Now()
	switch fault {
	case "cut":
		g.proxies[old].setCut(true)
	case "term":
		g.stopOf[old]()
	default:
		return m, fmt.Errorf("no fault %q", fault)
	}
	first, err := g.successor(old, begun, 4*ttl)
	if err != nil {
		return m, err
	}
	time.Sleep(ttl) // for what the old one may still do
	m.takeover = first.Sub(begun)
	for _, w := range g.resource.since(begun) {
		if w.replica != old {
			continue
		}
		m.stopped = w.at.Sub(begun)
		if w.at.After(first) {
			m.overlap = w.at.Sub(first)
			m.doubled++
		}
	}
	return m, nil
}

// owner waits for the first writes.
func (g *rig) owner() (int, error) {
	for begun := time.Now(); time.Since(begun) < 30*time.Second; time.Sleep(period) {
		if w, ok := g.resource.last(); ok {
			return w.replica, nil
		}
	}
	return 0, errors.New("nobody works")
}

// successor waits for the first write of another.
func (g *rig) successor(old int, since time.Time, limit time.Duration) (time.Time, error) {
	for begun := time.Now(); time.Since(begun) < limit; time.Sleep(period) {
		for _, w := range g.resource.since(since) {
			if w.replica != old {
				return w.at, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("nobody took over in %s", limit)
}
