package taskvisor_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestSoak runs supervisors with everything that can go wrong, one after the
// other, for TASKVISOR_SOAK (a duration; a second without it). After each it
// holds the events of every task to their order, every handle to one outcome,
// the counters to their laws, and every subscriber's drops to what was
// published. At the end neither goroutines nor memory are left. TASKVISOR_SEED
// repeats what the callers did, as far as the scheduler lets it.
func TestSoak(t *testing.T) {
	length, seed := time.Second, rand.Uint64()
	if s := os.Getenv("TASKVISOR_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := strconv.ParseUint(os.Getenv("TASKVISOR_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("TASKVISOR_SEED=%d", seed)
	goroutines := runtime.NumGoroutine()
	var heap uint64
	var attempts, events int64
	rounds := 0
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); rounds++ {
		rng := rand.New(rand.NewPCG(seed, uint64(rounds)))
		a, e := soakOnce(t, rng, min(time.Until(end), 300*time.Millisecond+milliseconds(rng, 700)))
		attempts, events = attempts+a, events+e
		if rounds == 0 { // what is kept once is there now
			heap = heapInUse()
		}
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines at the end, %d at the beginning", n, goroutines)
	}
	after := heapInUse()
	// The last round may be kept for a moment: by the second after which a gate that has
	// panicked is asked again.
	for deadline := time.Now().Add(5 * time.Second); after > heap+4<<20 && time.Now().Before(deadline); after = heapInUse() {
		<-time.After(50 * time.Millisecond)
	}
	if after > heap+4<<20 {
		t.Errorf("%d KiB in use at the end, %d after the first round", after>>10, heap>>10)
	}
	t.Logf("%d supervisors, %d attempts, %d events; heap %d KiB → %d KiB", rounds, attempts, events, heap>>10, after>>10)
}

// soakOnce is the life of one supervisor.
func soakOnce(t *testing.T, rng *rand.Rand, length time.Duration) (attempts, events int64) {
	audit, tallies := newAuditor(), soakTallies()
	opts := []taskvisor.Option{taskvisor.WithGrace(milliseconds(rng, 60)), taskvisor.WithSubscriberDrain(20*time.Millisecond + milliseconds(rng, 80)),
		taskvisor.WithMaxQueue(rng.IntN(20)), taskvisor.WithSubscriber(audit)}
	for _, s := range tallies {
		opts = append(opts, s.option())
	}
	if rng.IntN(2) == 0 {
		opts = append(opts, taskvisor.WithMaxConcurrent(1+rng.IntN(64)))
	}
	if rng.IntN(2) == 0 {
		opts = append(opts, taskvisor.WithRestartBudget(1+rng.IntN(50), 10*time.Millisecond))
	}
	r := &soakRound{}
	r.wheel = newWheel(rng, true, r.fault)
	var err error
	if r.sup, err = taskvisor.New(opts...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := r.begin(ctx, rng.IntN(2) == 0)
	var callers sync.WaitGroup
	for range 4 {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		callers.Go(func() {
			for r.act(own) {
				<-time.After(milliseconds(own, 1))
			}
		})
	}
	callers.Go(func() { r.scrape() })
	<-time.After(length)
	r.end(t, rng, cancel, ended)
	callers.Wait()
	r.settle(t, audit, tallies)
	r.check(t, audit, tallies)
	return r.begun.Load(), int64(r.sup.Snapshot().Seq)
}

// begin starts the supervisor by Run or Start; the channel gives the result of
// its end.
func (r *soakRound) begin(ctx context.Context, run bool) <-chan error {
	ended := make(chan error, 1)
	if !run {
		if err := r.sup.Start(ctx); err != nil {
			r.fault("start: %v", err)
		}
		go func() {
			<-r.sup.Done()
			ended <- r.sup.Shutdown(context.Background())
		}()
		return ended
	}
	up := make(chan struct{})
	resident := taskvisor.Restartable("resident", func(ctx context.Context) error {
		r.begun.Add(1)
		close(up)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	go func() { ended <- r.sup.Run(ctx, resident) }()
	<-up
	return ended
}

// scrape reads the state slowly, all the time.
func (r *soakRound) scrape() {
	for r.sup.Snapshot().State != taskvisor.SupervisorStopped {
		for _, h := range r.sup.List() {
			h.Status()
		}
		r.sup.Count(taskvisor.StateBackoff)
		<-time.After(3 * time.Millisecond)
	}
}

// end stops the supervisor in one of three ways. All who ask get the same result.
func (r *soakRound) end(t *testing.T, rng *rand.Rand, cancel context.CancelFunc, ended <-chan error) {
	switch rng.IntN(3) {
	case 0:
		cancel()
	case 1:
		inside := make(chan error, 1)
		_, err := r.sup.Add(context.Background(), taskvisor.Once("from inside", func(ctx context.Context) error {
			r.begun.Add(1)
			inside <- r.sup.Shutdown(ctx)
			return nil
		}))
		if err != nil {
			t.Error(err)
			cancel()
			break
		}
		select {
		case err := <-inside:
			if !errors.Is(err, taskvisor.ErrWouldWaitForSelf) {
				t.Errorf("Shutdown from inside: %v", err)
			}
		case <-time.After(200 * time.Millisecond): // it has to wait for its permit
			cancel()
		}
	}
	begun := time.Now()
	first := r.sup.Shutdown(context.Background())
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("shutdown took %v", took)
	}
	if second := <-ended; second != first {
		t.Errorf("results differ: %v and %v", first, second)
	}
	if _, err := r.sup.Add(context.Background(), taskvisor.Once("late", func(context.Context) error { return nil })); !errors.Is(err, taskvisor.ErrShuttingDown) {
		t.Errorf("Add after the end: %v", err)
	}
}
