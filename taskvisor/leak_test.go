//go:build goexperiment.goroutineleakprofile && unix

package taskvisor_test

import (
	"context"
	"maps"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The runtime can prove of a goroutine that nobody will ever wake it: it waits
// for something that no goroutine which may still run, and no global, refers to.
// These tests have it look after each kind of life. A bubble finds leaked
// goroutines too, but only within itself, where signals, processor time and real
// blocking are not to be had; and a supervisor that nobody refers to any more,
// as here, is what a leak leaves behind in a real process.

// core begins the name of every function of the core, and of no test.
const core = "github.com/taskvisor/taskvisor-go/taskvisor."

// leaks counts the goroutines with a frame of the core that the runtime finds
// leaked, by stack.
func leaks(t *testing.T) map[string]int {
	t.Helper()
	profile := pprof.Lookup("goroutineleak")
	if profile == nil {
		t.Fatal("this toolchain has no goroutineleak profile: GOEXPERIMENT=goroutineleakprofile go test")
	}
	var text strings.Builder
	if err := profile.WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for record := range strings.SplitSeq(text.String(), "\n\n") {
		if !strings.Contains(record, core) {
			continue
		}
		if strings.HasPrefix(record, "goroutineleak profile:") {
			_, record, _ = strings.Cut(record, "\n")
		}
		count, stack, _ := strings.Cut(record, " @ ")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatalf("not a record of a profile: %q", record)
		}
		found[stack] += n
	}
	return found
}

// leaked returns the stacks of which there are more than before.
func leaked(t *testing.T, before map[string]int) []string {
	t.Helper()
	now := leaks(t)
	maps.DeleteFunc(now, func(stack string, n int) bool { return n <= before[stack] })
	return slices.Collect(maps.Keys(now))
}

// No life of a supervisor leaves a goroutine behind that nobody can end.
func TestNothingLeaks(t *testing.T) {
	start := leaks(t)
	for name, live := range leakLives {
		t.Run(name, func(t *testing.T) {
			before := leaks(t)
			for range 20 {
				live(t)
			}
			for _, stack := range leaked(t, before) {
				t.Errorf("leaked: %s", stack)
			}
		})
	}
	// What ended asynchronously, after its life was looked at.
	for _, stack := range leaked(t, start) {
		t.Errorf("leaked in the end: %s", stack)
	}
}

// The check above can fail: it finds what is leaked on purpose.
func TestLeaksAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		leak  func(t *testing.T)
		frame string
	}{
		"body that nobody can wake":           {leakBody, "taskvisor_test.waitForNobody"},
		"child that nobody can wake":          {leakChild, "taskvisor_test.waitForNobody"},
		"supervisor that was never shut down": {leakSupervisor, core},
	} {
		t.Run(name, func(t *testing.T) {
			before := leaks(t)
			tt.leak(t)
			var found []string
			for try := 0; len(found) == 0; try++ { // until it waits, and everybody else has forgotten it
				if try == 10_000 {
					t.Fatal("nothing is found")
				}
				runtime.Gosched()
				found = leaked(t, before)
			}
			if !strings.Contains(found[0], tt.frame) {
				t.Errorf("found %s, want a frame of %s", found[0], tt.frame)
			}
		})
	}
}

//go:noinline
func waitForNobody() { <-make(chan struct{}) }

func leakBody(t *testing.T) {
	sup := lively(t, taskvisor.WithGrace(0))
	begun := make(chan struct{})
	addTo(t, sup, taskvisor.Once("a", func(context.Context) error {
		close(begun)
		waitForNobody()
		return nil
	}))
	<-begun
	if err := sup.Shutdown(context.Background()); err == nil {
		t.Error("Shutdown does not tell of the body")
	}
}

func leakChild(t *testing.T) {
	sup := lively(t, taskvisor.WithGrace(0))
	begun := make(chan struct{})
	addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
		defer close(begun)
		return taskvisor.Go(ctx, func(context.Context) { waitForNobody() })
	}))
	<-begun
	sup.Shutdown(context.Background())
}

func leakSupervisor(t *testing.T) {
	sup := lively(t, taskvisor.WithSubscriber(&discard{}))
	h := addTo(t, sup, taskvisor.Once("a", noWork))
	if _, err := h.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// lively starts a supervisor that nobody but the caller refers to: a Cleanup
// would keep it, and all that waits for it, from being found.
func lively(t *testing.T, opts ...taskvisor.Option) *taskvisor.Supervisor {
	t.Helper()
	sup, err := taskvisor.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return sup
}

func mustEnd(t *testing.T, sup *taskvisor.Supervisor) {
	t.Helper()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// wake is a signal that means nothing to anybody else.
func wake(t *testing.T, sig os.Signal) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
