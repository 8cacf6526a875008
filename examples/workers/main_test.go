package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMain(m *testing.M) {
	// The first Notify of a process starts a goroutine that never ends. It must
	// not be started inside a bubble, which would wait for it.
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	os.Exit(m.Run())
}

// output is a buffer that several workers may write to.
type output struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) count(s string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Count(o.b.String(), s)
}

func jobs(n int) <-chan job {
	queue := make(chan job, n)
	for i := range n {
		queue <- job(i)
	}
	close(queue)
	return queue
}

func TestQueueIsDrainedInSpiteOfPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		queue := jobs(30)
		if err := run(context.Background(), queue, &out); err != nil {
			t.Fatal(err)
		}
		// Of each ten jobs one has bad input and one panics.
		if done, bad := out.count(" done\n"), out.count("bad input"); done != 24 || bad != 3 || len(queue) != 0 {
			t.Errorf("%d done, %d bad, %d left:\n%s", done, bad, len(queue), &out.b)
		}
	})
}

func TestStopLetsJobsInHandFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		queue := jobs(1000)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 75*time.Millisecond, errors.New("enough"))
		defer cancel()
		if err := run(ctx, queue, &out); err != nil {
			t.Fatal(err)
		}
		// Each of the three workers took two jobs; number 4 had bad input.
		want := fmt.Sprint(5, 1, 994)
		if got := fmt.Sprint(out.count(" done\n"), out.count("bad input"), len(queue)); got != want {
			t.Errorf("done, bad and left: %s, want %s:\n%s", got, want, &out.b)
		}
	})
}
