// Command driver shows what leases do to real processes with etcd, beside etcd's own
// concurrency.Session and Election as its documentation uses them; see package
// lease/internal/driver:
//
//	GOWORK=off go run ./internal/driver -rounds 3
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	etcdlease "github.com/taskvisor/taskvisor-go/lease/etcd"
	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "engine" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "engine:", err)
			os.Exit(1)
		}
		return
	}
	program.Main()
}

var program = driver.Program{
	Start:      newCluster,
	Contenders: []driver.Contender{{Name: "lease", Run: supervise}, {Name: "election", Run: elect}},
}

func connect(r *driver.Replica) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: r.Addrs, Logger: zap.NewNop()})
}

func supervise(r *driver.Replica) error {
	client, err := connect(r)
	if err != nil {
		return err
	}
	return r.Supervise(etcdlease.New(client))
}

// elect is how etcd's documentation uses its package concurrency: campaign, work until
// the session is done, resign.
func elect(r *driver.Replica) error {
	client, err := connect(r)
	if err != nil {
		return err
	}
	return r.Campaign(func(ctx context.Context) error { return term(ctx, r, client) })
}

// term is one session and what it leads.
func term(ctx context.Context, r *driver.Replica, client *clientv3.Client) error {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(int(r.TTL/time.Second)), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	election := concurrency.NewElection(session, r.Key)
	if err := election.Campaign(ctx, r.Name); err != nil {
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
	err = r.Work(leading, uint64(election.Rev()))
	resign, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	return errors.Join(err, election.Resign(resign))
}
