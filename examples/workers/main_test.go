package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
)

func TestMain(m *testing.M) {
	// The first Notify of a process starts a goroutine that never ends. It must
	// not be started inside a bubble, which would wait for it.
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	os.Exit(m.Run())
}

func jobs(n int) <-chan job {
	queue := make(chan job, n)
	for i := range n {
		queue <- job(i)
	}
	close(queue)
	return queue
}

func TestNoJobIsLostToPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		queue := jobs(30)
		aside, err := run(context.Background(), queue, &out)
		if err != nil {
			t.Fatal(err)
		}
		// Of each ten jobs one has bad input, one panics, and one panics at the first try.
		slices.Sort(aside)
		if want := []job{4, 7, 14, 17, 24, 27}; !slices.Equal(aside, want) || len(queue) != 0 {
			t.Errorf("set aside %v, want %v; %d left:\n%s", aside, want, len(queue), &out)
		}
		if done := strings.Count(out.String(), " done\n"); done != 24 {
			t.Errorf("%d done:\n%s", done, &out)
		}
	})
}

func TestStopLetsJobsInHandFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		queue := jobs(1000)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 75*time.Millisecond, errors.New("enough"))
		defer cancel()
		aside, err := run(ctx, queue, &out)
		if err != nil {
			t.Fatal(err)
		}
		// Each of the three workers took two jobs; number 4 had bad input.
		want := fmt.Sprint(5, []job{4}, 994)
		if got := fmt.Sprint(strings.Count(out.String(), " done\n"), aside, len(queue)); got != want {
			t.Errorf("done, set aside and left: %s, want %s:\n%s", got, want, &out)
		}
	})
}

// Stopped between a panic and the second try, the job is not forgotten.
func TestStopAfterAPanicNamesTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		queue := make(chan job, 1)
		queue <- 7
		ctx, cancel := context.WithTimeout(context.Background(), 75*time.Millisecond)
		defer cancel()
		aside, err := run(ctx, queue, &out)
		if err != nil || !slices.Equal(aside, []job{7}) {
			t.Errorf("set aside %v, %v", aside, err)
		}
	})
}

// Which worker gets which job is not settled; the rest is.
func TestReadme(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		queue := jobs(12)
		aside, err := run(context.Background(), queue, &out)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, "set aside:", aside, "left in the queue:", len(queue))
		readme.CheckLines(t, strings.Replace(out.String(), "[7 4]", "[4 7]", 1))
	})
}
