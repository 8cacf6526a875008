// Command fleet shows leases: it starts three replicas of one program, and an etcd for
// them, and says who has what. In one of the replicas the task "billing" runs; each of
// six tenants is worked for by one of them.
//
//	cd examples/fleet && GOWORK=off go run . -chaos
//
// Each replica serves its live page, where standbys are pending at the gate of their
// lease, and /leases, which the parent reads. With -chaos replicas are killed and frozen
// in turn. Ctrl-C stops them one after the other, and the leases move for the last time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// config is the command line.
type config struct {
	replica string // the name, of a replica; "": this is the parent
	listen  string // address of a replica's page; of the parent's first replica, the others follow
	etcd    string
	ttl     time.Duration
	span    time.Duration
	count   int
	chaos   bool
}

func parse(args []string, stderr io.Writer) (c config, err error) {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.replica, "replica", "", "run as the replica of that name (the parent does that)")
	flags.StringVar(&c.listen, "listen", "", "address of the replica's page (any free port)")
	flags.StringVar(&c.etcd, "etcd", os.Getenv("ETCD_ENDPOINTS"), "addresses of an etcd, separated by commas (one in this process)")
	flags.DurationVar(&c.ttl, "ttl", 4*time.Second, "of the leases")
	flags.DurationVar(&c.span, "for", 0, "stop after that time (0: when interrupted)")
	flags.IntVar(&c.count, "replicas", 3, "how many")
	flags.BoolVar(&c.chaos, "chaos", false, "kill and freeze replicas in turn")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 || c.count < 1 || c.ttl < 2*time.Second {
		return c, errors.New("at least one replica, a ttl of at least 2s, and no arguments")
	}
	return c, nil
}

// run is main with everything that it touches as an argument.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil && c.span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.span)
		defer cancel()
	}
	switch {
	case err != nil:
	case c.replica != "":
		err = work(ctx, c, stdout)
	default:
		err = parent(ctx, c, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "fleet:", err)
		return 1
	}
	return 0
}
