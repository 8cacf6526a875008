// Package driver shows what leases do to real processes, with any engine. For each fault
// it starts the engine and three replicas of one program, each behind proxies of its own,
// waits until one works, brings the fault about, and measures who writes when to a
// resource that the driver keeps and that compares tokens.
//
// Each store has a command of its own, internal/driver, which supplies a [Program]: its
// engine, and what contends for the lease there, package lease first. Replicas are that
// command again, with another first argument.
//
// Three laws hold for package lease ([Judge]): no term begins with a token that is no
// greater than one before it, as the resource sees them; in a partition owners never
// overlap; and a term finds the note that the one before has left, also where its process
// was killed.
package driver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is what a store supplies.
type Program struct {
	// Start starts an engine that fits, with data of its own, and waits until it serves.
	// That it cannot have one is ErrNeed.
	Start      func(n Need) (Engine, error)
	Contenders []Contender // package lease is the first
}

// ErrNeed is the error of [Program.Start] for an engine that cannot be had here.
var ErrNeed = errors.New("no such engine here")

// Engine is one or several processes that can be killed.
type Engine interface {
	Addrs() []string // that replicas come to, by member
	More() string    // what they need to know besides
	Up() error       // starts what is down, with its data, and waits until all serve
	Down()           // kills all, as a crash would
	Close()          // and deletes the data
}

// Cluster is an [Engine] with a leader.
type Cluster interface{ KillLeader() error }

// Clock is an [Engine] whose clock can be moved while it runs.
type Clock interface {
	Move(ahead time.Duration) error // of the real time
}

// Contender is one way to be the one. Run works ([Replica.Work]) whenever the replica is,
// until the process gets SIGTERM.
type Contender struct {
	Name string
	Run  func(r *Replica) error
}

// Child reports whether this process is a child of a driver, and not the driver itself,
// which a test has to know.
func Child() bool { return len(os.Args) > 1 && (os.Args[1] == "replica" || os.Args[1] == "engine") }

// Main is the main function of a driver.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if Child() {
		err = p.replica(os.Args[2:])
	} else {
		err = p.drive(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		stop()
		os.Exit(1)
	}
}

// drive runs all rounds and prints the table.
func (p Program) drive(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("driver", flag.ExitOnError)
	rounds := flags.Int("rounds", 3, "of each fault; those that leave the engine alone at the same time")
	ttl := flags.Duration("ttl", 5*time.Second, "of the leases")
	only := flags.String("fault", "", "the faults to bring about, separated by commas (all that the engine can have)")
	kinds := flags.String("by", "", "the contenders, separated by commas (all)")
	report := flags.String("log", "", "file for what the replicas say (discarded)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := io.Discard
	if *report != "" {
		file, err := os.Create(*report)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		log = file
	}
	fmt.Printf("| fault | by | takeover, ms | old stops after, ms | overlap, ms | stale writes | tokens fell |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, f := range Faults {
		for _, c := range p.Contenders {
			if !among(*only, f.Name) || !among(*kinds, c.Name) {
				continue
			}
			all, err := p.Rounds(ctx, *rounds, c.Name, f, *ttl, log)
			if errors.Is(err, ErrNeed) {
				continue
			}
			if err != nil {
				return fmt.Errorf("%s by %s: %w", f.Name, c.Name, err)
			}
			fmt.Println(row(f.Name, c.Name, all))
		}
	}
	return nil
}

func among(list, name string) bool {
	return list == "" || strings.Contains(","+list+",", ","+name+",")
}

// Rounds brings a fault about n times, with one engine.
func (p Program) Rounds(ctx context.Context, n int, by string, f Fault, ttl time.Duration, log io.Writer) ([]Measured, error) {
	e, err := p.Start(f.Need)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	all, errs := make([]Measured, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		r := &rig{engine: e, ttl: ttl, log: log, by: by, key: fmt.Sprint("driver", i)}
		if f.engine {
			all[i], errs[i] = r.round(ctx, f)
			continue
		}
		wg.Go(func() { all[i], errs[i] = r.round(ctx, f) })
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// row sums up the rounds of one fault: the least and the greatest of each.
func row(fault, by string, all []Measured) string {
	kept, stale, fallen := 0, 0, 0
	for _, m := range all {
		stale += m.Stale
		fallen += m.Fallen
		if m.Kept {
			kept++
		}
	}
	takeover, stopped := span(all, func(m Measured) time.Duration { return m.Takeover }), "–"
	switch kept {
	case 0:
		stopped = span(all, func(m Measured) time.Duration { return m.Stopped })
	case len(all):
		takeover = "none, " + takeover
	default:
		takeover = fmt.Sprintf("none in %d of %d, %s", kept, len(all), takeover)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %d | %d |", fault, by, takeover, stopped,
		span(all, func(m Measured) time.Duration { return m.Overlap }), stale, fallen)
}

func span(all []Measured, of func(m Measured) time.Duration) string {
	least, most := of(all[0]), of(all[0])
	for _, m := range all {
		least, most = min(least, of(m)), max(most, of(m))
	}
	if least.Milliseconds() == most.Milliseconds() {
		return fmt.Sprint(least.Milliseconds())
	}
	return fmt.Sprintf("%d–%d", least.Milliseconds(), most.Milliseconds())
}
