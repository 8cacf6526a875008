package main

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

// The replicas of a service have one task that runs in one of them. The driver is the
// engine of their leases, so that it has the engine's account of who had which when.

const leaseTTL = 4 * time.Second

// Leases is the engine, with a connection of its own for each process.
type Leases struct {
	memory leasetest.Memory

	mu    sync.Mutex // guards the fields below
	conns map[string]*leasetest.Conn
}

// Request is one of a store.
type Request struct {
	From, Key, Owner string
	TTL              time.Duration
	Token            uint64
	Held             map[string]uint64
}

// Answer is what a store answers.
type Answer struct {
	Token   uint64
	Lost    []string
	Holders map[string]string
	Taken   bool // held by Holder
	Holder  string
}

// serveLeases starts the engine and returns its address.
func serveLeases() (*Leases, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	engine := &Leases{conns: map[string]*leasetest.Conn{}}
	server := rpc.NewServer()
	if err := server.Register(engine); err != nil {
		return nil, "", err
	}
	// Started here; ends with the process; nobody waits for it.
	go server.Accept(l)
	return engine, l.Addr().String(), nil
}

func (e *Leases) conn(from string) *leasetest.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.conns[from]
	if c == nil {
		c = e.memory.Connect()
		e.conns[from] = c
	}
	return c
}

// patient is how long a request of a connection that is cut lies around.
func patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), leaseTTL)
}

// Acquire serves that method of a store.
func (e *Leases) Acquire(r Request, a *Answer) (err error) {
	ctx, cancel := patient()
	defer cancel()
	a.Token, err = e.conn(r.From).Acquire(ctx, r.Key, r.Owner, r.TTL)
	var held *lease.HeldError
	if errors.As(err, &held) {
		a.Taken, a.Holder = true, held.Holder
		return nil
	}
	if errors.Is(err, lease.ErrHeld) {
		a.Taken = true
		return nil
	}
	return err
}

// Renew serves that method of a store.
func (e *Leases) Renew(r Request, a *Answer) (err error) {
	ctx, cancel := patient()
	defer cancel()
	a.Lost, err = e.conn(r.From).Renew(ctx, r.Owner, r.Held, r.TTL)
	return err
}

// Release serves that method of a store.
func (e *Leases) Release(r Request, _ *Answer) error {
	ctx, cancel := patient()
	defer cancel()
	return e.conn(r.From).Release(ctx, r.Key, r.Token)
}

// Holders serves that method of a store.
func (e *Leases) Holders(r Request, a *Answer) (err error) {
	ctx, cancel := patient()
	defer cancel()
	a.Holders, err = e.conn(r.From).Holders(ctx, r.Key)
	return err
}

// store is the engine from a replica.
type store struct {
	client *rpc.Client
	from   string
}

func (s store) call(ctx context.Context, method string, r Request) (a Answer, err error) {
	r.From = s.from
	call := s.client.Go("Leases."+method, r, &Answer{}, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return *call.Reply.(*Answer), call.Error
	case <-ctx.Done():
		return a, context.Cause(ctx)
	}
}

// Acquire implements lease.Store.
func (s store) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	a, err := s.call(ctx, "Acquire", Request{Key: key, Owner: owner, TTL: ttl})
	if err == nil && a.Taken {
		err = &lease.HeldError{Key: key, Holder: a.Holder}
	}
	return a.Token, err
}

// Renew implements lease.Store.
func (s store) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	a, err := s.call(ctx, "Renew", Request{Owner: owner, Held: held, TTL: ttl})
	return a.Lost, err
}

// Release implements lease.Store.
func (s store) Release(ctx context.Context, key string, token uint64) error {
	_, err := s.call(ctx, "Release", Request{Key: key, Token: token})
	return err
}

// Holders implements lease.Store.
func (s store) Holders(ctx context.Context, prefix string) (map[string]string, error) {
	a, err := s.call(ctx, "Holders", Request{Key: prefix})
	return a.Holders, err
}
