package driver

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const period = 10 * time.Millisecond // between two writes

// Replica is one process, as its contender sees it.
type Replica struct {
	Name  string
	Addrs []string // of the engine's members, each behind a proxy
	More  string   // what [Engine] says besides
	Key   string   // of the lease, the same for all replicas
	TTL   time.Duration

	resource net.Conn
	answers  *bufio.Scanner
}

// replica is the process of one.
func (p Program) replica(args []string) error {
	flags := flag.NewFlagSet("replica", flag.ExitOnError)
	r := &Replica{}
	flags.StringVar(&r.Name, "name", "", "of this replica")
	flags.StringVar(&r.Key, "key", "", "of the lease")
	flags.StringVar(&r.More, "more", "", "what the engine says")
	flags.DurationVar(&r.TTL, "ttl", 0, "of the lease")
	by := flags.String("by", "", "the contender")
	addrs := flags.String("engine", "", "addresses, separated by commas")
	resource := flags.String("resource", "", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r.Addrs = strings.Split(*addrs, ",")
	conn, err := net.Dial("tcp", *resource)
	if err != nil {
		return err
	}
	r.resource, r.answers = conn, bufio.NewScanner(conn)
	for _, c := range p.Contenders {
		if c.Name == *by {
			return c.Run(r)
		}
	}
	return fmt.Errorf("no contender %q", *by)
}

// Supervise is how package lease is used.
func (r *Replica) Supervise(store lease.Store) error {
	owner, err := lease.New(store, lease.WithID(r.Name), lease.WithPrefix(r.Key+"/"), lease.WithTTL(r.TTL))
	if err != nil {
		return err
	}
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(r.TTL/4))
	if err != nil {
		return err
	}
	return sup.Run(context.Background(), taskvisor.Restartable("work", func(ctx context.Context) error {
		term, _ := lease.TermOf(ctx)
		if err := term.Note(noteOf(r.Name, term.Token)); err != nil {
			return taskvisor.Fatal(err)
		}
		return r.work(ctx, term.Token, term.Previous)
	}, owner.Singleton("work")))
}

// Campaign is the loop around a client that leads for one term: again, until the process
// is told to end.
func (r *Replica) Campaign(term func(ctx context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		if err := term(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, r.Name, err)
			_ = sleep(ctx, 100*time.Millisecond) // the loop looks
		}
	}
	return nil
}

// Work is what only the owner may do: it writes to the resource until ctx ends.
func (r *Replica) Work(ctx context.Context, token uint64) error { return r.work(ctx, token, "") }

// noteOf is the note that a term leaves.
func noteOf(replica string, token uint64) string { return fmt.Sprint(replica, "/", token) }

// work says with each write which note it has found.
func (r *Replica) work(ctx context.Context, token uint64, note string) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if _, err := fmt.Fprintln(r.resource, r.Name, token, note); err != nil {
			return taskvisor.Fatal(err)
		}
		if !r.answers.Scan() {
			return taskvisor.Fatal(errors.New("the resource is gone"))
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return ctx.Err()
}
