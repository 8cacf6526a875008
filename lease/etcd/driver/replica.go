package main

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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/taskvisor/taskvisor-go/lease"
	etcdlease "github.com/taskvisor/taskvisor-go/lease/etcd"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const period = 10 * time.Millisecond // between two writes

// replica is one process: it works, writing to the resource, while it is the one.
func replica(args []string) error {
	flags := flag.NewFlagSet("replica", flag.ExitOnError)
	name := flags.String("name", "", "of this replica")
	by := flags.String("by", "lease", "lease or election")
	endpoint := flags.String("etcd", "", "addresses of etcd, separated by commas")
	resource := flags.String("resource", "", "address of the resource")
	prefix := flags.String("prefix", "", "of the keys")
	ttl := flags.Duration("ttl", 5*time.Second, "of the lease")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := net.Dial("tcp", *resource)
	if err != nil {
		return err
	}
	w := &worker{name: *name, conn: conn, answers: bufio.NewScanner(conn)}
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(*endpoint, ","), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	if *by == "election" {
		return w.elect(client, *prefix, *ttl)
	}
	return w.supervise(client, *prefix, *ttl)
}

// supervise is how package lease is used.
func (w *worker) supervise(client *clientv3.Client, prefix string, ttl time.Duration) error {
	owner, err := lease.New(etcdlease.New(client), lease.WithID(w.name), lease.WithPrefix(prefix), lease.WithTTL(ttl))
	if err != nil {
		return err
	}
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(ttl/4))
	if err != nil {
		return err
	}
	return sup.Run(context.Background(), taskvisor.Restartable("work", func(ctx context.Context) error {
		token, _ := lease.Token(ctx)
		return w.work(ctx, token)
	}, owner.Singleton("work")))
}

// elect is how etcd's documentation uses its package concurrency: campaign, work until
// the session is done, resign.
func (w *worker) elect(client *clientv3.Client, prefix string, ttl time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		err := w.term(ctx, client, prefix, ttl)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, w.name, err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// term is one session and what it leads.
func (w *worker) term(ctx context.Context, client *clientv3.Client, prefix string, ttl time.Duration) error {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(int(ttl/time.Second)), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	election := concurrency.NewElection(session, prefix)
	if err := election.Campaign(ctx, w.name); err != nil {
		return err
	}
	leading, cancel := context.WithCancel(ctx)
	defer cancel()
	// Ends with the session or the term; nobody waits for it.
	go func() {
		select {
		case <-session.Done():
			cancel()
		case <-leading.Done():
		}
	}()
	err = w.work(leading, uint64(election.Rev()))
	resign, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	return errors.Join(err, election.Resign(resign))
}

// worker writes to the resource.
type worker struct {
	name    string
	conn    net.Conn
	answers *bufio.Scanner
}

// work writes until ctx ends.
func (w *worker) work(ctx context.Context, token uint64) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if _, err := fmt.Fprintln(w.conn, w.name, token); err != nil {
			return taskvisor.Fatal(err)
		}
		if !w.answers.Scan() {
			return taskvisor.Fatal(errors.New("the resource is gone"))
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return ctx.Err()
}
