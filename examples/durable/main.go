// Command durable takes orders that must be charged whatever happens to the process, and
// reports that nobody misses: work that survives a crash is a job in PostgreSQL, worked by
// River, whose client is a task of a supervisor; work that may be lost is a submission to
// that supervisor.
//
//	POST /orders   an order and the job that charges it, in one transaction
//	GET  /orders   the orders, and whether they were charged
//	POST /reports  a report, one at a time, in this process only
//	GET  /reports  how many this process has made
//
// Ctrl-C or SIGTERM stops the server, lets the jobs in hand finish, and leaves the others to
// whoever comes next.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

type config struct {
	database string
	listen   string
	workers  int
	took     time.Duration // each charge and each report
	timeout  time.Duration // of a job
	soft     time.Duration // for jobs in hand, at a stop
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := config{database: os.Getenv("DATABASE_URL")}
	flags := flag.NewFlagSet("durable", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.database, "database", c.database, "address of a PostgreSQL, by default $DATABASE_URL")
	flags.StringVar(&c.listen, "listen", "127.0.0.1:8080", "address to serve")
	flags.IntVar(&c.workers, "workers", 4, "jobs at a time")
	flags.DurationVar(&c.took, "took", 2*time.Second, "that a charge or a report takes")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "of a job; one that has run for longer, because its process died, is worked again")
	flags.DurationVar(&c.soft, "soft", 10*time.Second, "that jobs in hand have to finish when the process is stopped")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if c.database == "" {
		fmt.Fprintln(stderr, "durable: where is the database? Set DATABASE_URL, or -database")
		return 2
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, nil)))
	if err := serve(ctx, c, stdout); err != nil {
		fmt.Fprintln(stderr, "durable:", err)
		return 1
	}
	return 0
}

// serve runs the program until it is stopped.
func serve(ctx context.Context, c config, stdout io.Writer) error {
	pool, err := pgxpool.New(ctx, c.database) // connects when it is asked
	if err != nil {
		return err
	}
	defer pool.Close()
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithSubscriber(slogsub.New(nil)),
		taskvisor.WithGrace(c.soft+15*time.Second)) // River's own stop comes first, and writes down what became of the jobs
	if err != nil {
		return err
	}
	a := &app{config: c, pool: pool, sup: sup, stdout: stdout}
	return sup.Run(ctx,
		// What the others need: that the database answers, and tables.
		taskvisor.Restartable("migrate", a.migrate, taskvisor.WithReadiness(), taskvisor.WithTimeout(time.Minute)),
		// The queue's client: if it ends by itself, it is made anew.
		taskvisor.Restartable("river", a.work, taskvisor.WithReadiness(), taskvisor.After("migrate")),
		// Stopped before the queue: no order comes in that nobody answers.
		taskvisor.Restartable("http", a.http, taskvisor.After("river")),
	)
}
