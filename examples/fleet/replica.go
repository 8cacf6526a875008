package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/taskvisor/taskvisor-go/lease"
	etcdlease "github.com/taskvisor/taskvisor-go/lease/etcd"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var tenants = []string{"acme", "borealis", "cyan", "dorado", "elm", "fjord"}

// work is one replica: everything that a service needs for leases is here. Its first
// line of output is the address of its page.
func work(ctx context.Context, c config, stdout io.Writer) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(c.etcd, ","), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	logs := slogsub.New(nil)
	owner, err := lease.New(etcdlease.New(client), lease.WithID(c.replica), lease.WithTTL(c.ttl), lease.WithPrefix("fleet/"), lease.WithObserver(logs.Lease))
	if err != nil {
		return err
	}
	page := livesub.New(livesub.WithLeases(owner))
	sup, err := taskvisor.New(taskvisor.WithName(c.replica), taskvisor.WithSubscriber(page), taskvisor.WithSubscriber(logs),
		taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(c.ttl/4))
	if err != nil {
		return err
	}
	if err := serve(ctx, c.listen, page, owner, stdout); err != nil {
		return err
	}
	return sup.Run(ctx,
		taskvisor.Restartable("billing", count("bills"), owner.Singleton("billing")),
		taskvisor.Restartable("tenants", func(ctx context.Context) error {
			list := func(context.Context) ([]string, error) { return tenants, nil } // from a database, say
			return owner.Shard(ctx, sup, list, func(tenant string) taskvisor.TaskSpec {
				return taskvisor.Restartable("tenant "+tenant, count("records"), taskvisor.WithKind("tenant"))
			})
		}))
}

// count is a body: it does something all the time, and says so.
func count(what string) taskvisor.Func {
	return func(ctx context.Context) error {
		token, _ := lease.Token(ctx) // for whatever is written to
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for n := 1; ; n++ {
			taskvisor.Beat(ctx, fmt.Sprintf("%d %s under token %d", n, what, token))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ticker.C:
			}
		}
	}
}

// serve serves the live page, and what this replica has as JSON.
func serve(ctx context.Context, address string, page http.Handler, owner *lease.Owner, stdout io.Writer) error {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("GET /leases", func(w http.ResponseWriter, _ *http.Request) {
		held := map[string]uint64{}
		for _, st := range owner.Status() {
			if st.State == lease.Held {
				held[st.Key] = st.Token
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(held) // the client is gone
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	// Started here; ends with the process, so that the page is there during the shutdown;
	// nobody waits for it.
	go func() { _ = server.Serve(l) }()
	_, err = fmt.Fprintf(stdout, "http://%s/\n", l.Addr())
	return err
}
