//go:build unix

package healthsub_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestPreStopDelay sends a signal to this process, and probes it over TCP: it is not
// ready at once, while its task is not stopped until the delay has passed, or a second
// signal comes.
func TestPreStopDelay(t *testing.T) {
	for name, c := range map[string]struct {
		delay   time.Duration
		signals int
	}{"delay": {2 * time.Second, 1}, "second signal": {time.Hour, 2}} {
		t.Run(name, func(t *testing.T) {
			health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
			srv := httptest.NewServer(health.Ready())
			defer srv.Close()
			sup, err := taskvisor.New(taskvisor.WithSubscriber(health), taskvisor.WithSignals(syscall.SIGUSR1), taskvisor.WithPreStopDelay(c.delay))
			if err != nil {
				t.Fatal(err)
			}
			var stopped atomic.Pointer[time.Time]
			ended := make(chan error, 1)
			go func() {
				ended <- sup.Run(context.Background(), taskvisor.Restartable("orders", func(ctx context.Context) error {
					<-ctx.Done()
					now := time.Now()
					stopped.Store(&now)
					return nil
				}))
			}()
			code := func() int {
				code, _ := get(t, srv.Client(), srv.URL)
				return code
			}
			await(t, func() bool { return code() == http.StatusOK })
			signaled := time.Now()
			raise(t)
			await(t, func() bool { return code() == http.StatusServiceUnavailable })
			unready := time.Now()
			if stopped.Load() != nil && c.delay > time.Second {
				t.Error("the task was stopped by the first signal")
			}
			if _, body := get(t, srv.Client(), srv.URL); !strings.Contains(body, "taskvisor: shutting down") {
				t.Errorf("it says %s", body)
			}
			if c.signals == 2 {
				raise(t)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if c.signals == 1 && (stopped.Load().Sub(signaled) < c.delay || !unready.Before(*stopped.Load())) {
				t.Errorf("unready after %s, stopped after %s, want that after %s", unready.Sub(signaled), stopped.Load().Sub(signaled), c.delay)
			}
			t.Logf("unready after %s, stopped after %s", unready.Sub(signaled), stopped.Load().Sub(signaled))
		})
	}
}

func raise(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
}

// await polls a condition of a real server.
func await(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come true")
		}
	}
}
