package healthsub_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// systemd is the other end of NOTIFY_SOCKET.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
	got  []string // datagrams, in order
}

// listen makes a socket for notifications; a name that begins with @ is an abstract
// one.
func listen(t *testing.T, name string) *systemd {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "")
	t.Setenv("WATCHDOG_PID", "")
	return &systemd{t: t, conn: conn}
}

// next returns the next datagram; "" if there is none within d.
func (s *systemd) next(d time.Duration) string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := s.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.got = append(s.got, string(b[:n]))
	return string(b[:n])
}

// until reads datagrams until one has the line.
func (s *systemd) until(line string) string {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		got := s.next(time.Second)
		for l := range strings.Lines(got) {
			if strings.TrimSpace(l) == line {
				return got
			}
		}
	}
	s.t.Fatalf("no %q in %q", line, s.got)
	return ""
}

// TestNotifySystemd is the life of a service, as a task of its own supervisor, over a
// real socket.
func TestNotifySystemd(t *testing.T) {
	bus := listen(t, filepath.Join(t.TempDir(), "notify"))
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(health))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	orders := func(ctx context.Context) error {
		select {
		case <-ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		taskvisor.Ready(ctx)
		return block(ctx)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- sup.Run(ctx, taskvisor.Restartable("systemd", health.NotifySystemd), taskvisor.Restartable("orders", orders, taskvisor.WithReadiness()))
	}()
	if got := bus.next(30 * time.Second); got != "STATUS=not ready: shop: orders: not ready yet" {
		t.Errorf("at first: %q", got)
	}
	close(ready)
	if got := bus.until("READY=1"); got != "READY=1\nSTATUS=ready" {
		t.Errorf("ready: %q", got)
	}
	stop()
	if got := bus.until("STOPPING=1"); strings.Contains(got, "WATCHDOG") {
		t.Errorf("nobody asked for a watchdog: %q", got)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := bus.next(50 * time.Millisecond); got != "" {
		t.Errorf("afterwards: %q", got)
	}
}

// TestWatchdog: signs of life come at twice the rate, and end when a critical task has
// been stuck for too long. The conversation outlives the supervisor here.
func TestWatchdog(t *testing.T) {
	bus := listen(t, "@taskvisor-test-"+strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "60000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"), healthsub.WithStuckLimit(0))
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(health))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- health.NotifySystemd(ctx) }()
	bus.until("WATCHDOG=1")
	signs, least := 1, time.Hour
	for ; signs < 10 || least > 55*time.Millisecond && time.Since(began) < 30*time.Second; signs++ {
		asked := time.Now()
		bus.until("WATCHDOG=1")
		least = min(least, time.Since(asked)) // a busy machine may take longer, but not always
	}
	// Those that had to wait for us come at once: how many there are is what tells.
	if took := time.Since(began); least > 55*time.Millisecond || took < time.Duration(signs-1)*30*time.Millisecond {
		t.Errorf("%d signs of life in %s, the soonest after %s, not each 30ms", signs, took, least)
	}
	hang, free := make(chan struct{}), make(chan struct{})
	_, err = sup.Add(ctx, taskvisor.Restartable("orders", func(context.Context) error { close(hang); <-free; return nil },
		taskvisor.WithTimeout(time.Millisecond), taskvisor.WithStuckAfter(time.Millisecond), taskvisor.WithMaxRetries(0)))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(ctx); err != nil {
		t.Fatal(err)
	}
	<-hang
	if got := bus.until("STATUS=not live: shop: orders: stuck"); strings.Contains(got, "WATCHDOG") {
		t.Errorf("a sign of life: %q", got)
	}
	if got := bus.next(200 * time.Millisecond); got != "" {
		t.Errorf("a sign of life of a process that hangs: %q", got)
	}
	close(free)
	bus.until("WATCHDOG=1")
	slow, finish := make(chan struct{}), make(chan struct{})
	if _, err := sup.Add(ctx, taskvisor.Restartable("slow", func(context.Context) error { close(slow); <-finish; return nil })); err != nil {
		t.Fatal(err)
	}
	<-slow
	down := make(chan error, 1)
	go func() { down <- sup.Shutdown(context.Background()) }()
	bus.until("STOPPING=1")
	bus.until("WATCHDOG=1") // it still lives
	close(finish)
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for got := bus.next(50 * time.Millisecond); got != ""; got = bus.next(50 * time.Millisecond) {
		if strings.Contains(got, "STOPPING") {
			t.Error("it stops twice")
		}
	}
}

// TestNotifyNobody: without a socket there is nothing to do, and one that is not there
// is an error.
func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	health := healthsub.New()
	if err := health.NotifySystemd(t.Context()); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := health.NotifySystemd(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestWatchdogOfAnother: the variables may have been inherited.
func TestWatchdogOfAnother(t *testing.T) {
	bus := listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "10000")
	t.Setenv("WATCHDOG_PID", "1")
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := healthsub.New().NotifySystemd(ctx); err != nil {
		t.Fatal(err)
	}
	for got := bus.next(time.Second); !strings.Contains(got, "STOPPING=1"); got = bus.next(time.Second) {
		if strings.Contains(got, "WATCHDOG") || got == "" {
			t.Fatalf("%q", bus.got)
		}
	}
}

// quiet fails if anything was said that lets systemd end a process that goes on.
func (s *systemd) quiet() {
	s.t.Helper()
	if slices.ContainsFunc(s.got, func(got string) bool { return strings.Contains(got, "STOPPING=1") }) {
		s.t.Errorf("it is said to stop: %q", s.got)
	}
}

// TestNotifierMayEndAlone: one that is interrupted, or stopped and added again, is not the
// end of the process, which systemd would then kill after a while.
func TestNotifierMayEndAlone(t *testing.T) {
	bus := listen(t, filepath.Join(t.TempDir(), "notify"))
	health := healthsub.New()
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(health))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	spec := taskvisor.Restartable("systemd", health.NotifySystemd)
	h, err := sup.Add(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	bus.until("READY=1")
	h.Interrupt(nil)
	bus.until("READY=1")
	h.Stop()
	if _, err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := sup.Add(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	bus.until("READY=1")
	bus.quiet()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	bus.until("STOPPING=1")
}

// TestOneSupervisorOfTwoEnds: the process goes on, whether the notifier is told by the
// other or ends with the first.
func TestOneSupervisorOfTwoEnds(t *testing.T) {
	bus := listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "60000") // so that it looks often
	health := healthsub.New()
	var sups []*taskvisor.Supervisor
	for _, name := range []string{"first", "second"} {
		sup, err := taskvisor.New(taskvisor.WithName(name), taskvisor.WithSubscriber(health))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, err := sup.Add(t.Context(), taskvisor.Restartable("systemd", health.NotifySystemd)); err != nil {
			t.Fatal(err)
		}
		bus.until("READY=1")
		sups = append(sups, sup)
	}
	runs, finish, down := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	slow := taskvisor.Restartable("slow", func(context.Context) error { close(runs); <-finish; return nil })
	if _, err := sups[0].Add(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	<-runs
	go func() { down <- sups[0].Shutdown(context.Background()) }()
	bus.until("STATUS=not ready: first: shutting down")
	bus.quiet()
	close(finish)
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	bus.until("STATUS=not ready: first: ended")
	bus.quiet()
	if err := sups[1].Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	bus.until("STOPPING=1")
}
