package migrating

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A bubble must not be the first to use os/signal, and the programs log what fails.
func TestMain(m *testing.M) {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

var errRefused = errors.New("refused")

// both runs a test with the program before and after, in bubbles.
func both[P any](t *testing.T, before, after P, test func(t *testing.T, program P)) {
	t.Helper()
	t.Run("before", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, before) }) })
	t.Run("after", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, after) }) })
}

// The consumer fails, panics and returns; each time it is started again.
func TestSuture(t *testing.T) {
	both(t, sutureBefore, sutureAfter, func(t *testing.T, program func(context.Context, func(context.Context) error) error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		starts := 0
		err := program(ctx, func(ctx context.Context) error {
			switch starts++; starts {
			case 1:
				return errRefused
			case 2:
				panic("refused")
			case 3:
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if starts != 4 || (err != nil && !errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("%d starts, %v", starts, err)
		}
	})
}

// What fails first ends the rest, and is the error.
func TestRun(t *testing.T) {
	both(t, runBefore, runAfter, func(t *testing.T, program func(func() error, func(), func(context.Context) error) error) {
		closed, refreshing := make(chan struct{}), true
		err := program(
			func() error { <-closed; return errors.New("server closed") },
			sync.OnceFunc(func() { close(closed) }),
			func(ctx context.Context) error {
				time.Sleep(time.Minute)
				refreshing = false
				return errRefused
			})
		if !errors.Is(err, errRefused) || refreshing {
			t.Errorf("%v, refreshing %v", err, refreshing)
		}
	})
}

// Four at a time; the first error cancels the others and is returned.
func TestErrgroup(t *testing.T) {
	urls := strings.Fields("a b c d e f g h")
	both(t, errgroupBefore, errgroupAfter, func(t *testing.T, program func(context.Context, []string, func(context.Context, string) error) error) {
		var mu sync.Mutex
		running, most := 0, 0
		var done []string
		fetch := func(broken string) func(context.Context, string) error {
			return func(ctx context.Context, url string) error {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					running--
					done = append(done, url)
				}()
				d := time.Hour
				if url == broken || broken == "" {
					d = time.Minute
				}
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return ctx.Err()
				}
				if url == broken {
					return errRefused
				}
				return nil
			}
		}
		if err := program(t.Context(), urls, fetch("")); err != nil {
			t.Error(err)
		}
		slices.Sort(done)
		if most != 4 || !slices.Equal(done, urls) {
			t.Errorf("%d at a time, done %v", most, done)
		}
		start := time.Now()
		if err := program(t.Context(), urls, fetch("b")); !errors.Is(err, errRefused) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Three nights; what fails in the first is tried again: the next night, or soon.
func TestCron(t *testing.T) {
	both(t, cronBefore, cronAfter, func(t *testing.T, program func(context.Context, func(context.Context) error) error) {
		ctx, cancel := context.WithTimeout(t.Context(), 72*time.Hour)
		defer cancel()
		var starts []time.Time
		err := program(ctx, func(ctx context.Context) error {
			if starts = append(starts, time.Now()); len(starts) == 1 {
				return errRefused
			}
			return nil
		})
		want := 3
		if strings.HasSuffix(t.Name(), "after") {
			want = 4
		}
		if err != nil || len(starts) != want || starts[0].Hour() != 3 || starts[0].Minute() != 0 {
			t.Errorf("%v, started at %v", err, starts)
		}
	})
}

func TestGocron(t *testing.T) {
	both(t, gocronBefore, gocronAfter, func(t *testing.T, program func(context.Context, func(context.Context) error) error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Second)
		defer cancel()
		starts := map[time.Time]bool{} // gocron may start a job twice where it takes no time at all
		err := program(ctx, func(ctx context.Context) error {
			starts[time.Now()] = true
			return ctx.Err()
		})
		if err != nil || len(starts) != 11 {
			t.Errorf("starts at %d times in ten minutes, %v", len(starts), err)
		}
	})
}

// Five tries, none after what is permanent, none after the context's end.
func TestBackoff(t *testing.T) {
	type program func(context.Context, func(context.Context) (string, error)) (string, error)
	after := func(ctx context.Context, dial func(context.Context) (string, error)) (string, error) {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
		if err == nil {
			err = sup.Start(context.Background())
		}
		if err != nil {
			return "", err
		}
		defer sup.Shutdown(context.Background())
		return backoffAfter(ctx, sup, dial)
	}
	for _, tt := range []struct {
		name  string
		dial  func(try int) (string, error)
		tries int
		want  string
		err   error
	}{
		{"third time lucky", func(try int) (string, error) {
			if try < 3 {
				return "", errRefused
			}
			return "conn", nil
		}, 3, "conn", nil},
		{"never", func(int) (string, error) { return "", errRefused }, 5, "", errRefused},
		{"permanent", func(int) (string, error) { return "", errForbidden }, 1, "", errForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			both[program](t, backoffBefore, after, func(t *testing.T, program program) {
				tries := 0
				got, err := program(t.Context(), func(context.Context) (string, error) { tries++; return tt.dial(tries) })
				if got != tt.want || !errors.Is(err, tt.err) || tries != tt.tries {
					t.Errorf("%q, %v after %d tries", got, err, tries)
				}
			})
		})
	}
	t.Run("canceled", func(t *testing.T) {
		both[program](t, backoffBefore, after, func(t *testing.T, program program) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := program(ctx, func(context.Context) (string, error) { return "", errRefused })
			if err == nil || time.Since(start) > 200*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	})
}

func TestCrate(t *testing.T) {
	var out strings.Builder
	if err := crateAfter(t.Context(), &out); err != nil || out.String() != "Hello from task!\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
