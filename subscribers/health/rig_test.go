package healthsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var errBoom = errors.New("boom")

// rig is a supervisor in a bubble, where half a minute costs nothing, and a prober: a
// real client and a real server with a network of pipes, which do not hold time up.
type rig struct {
	t      *testing.T
	health *healthsub.Health
	sup    *taskvisor.Supervisor
	client *http.Client
}

// pipes is a listener for connections within the bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// serve returns a client of a server for h that ends with the test.
func serve(t *testing.T, h *healthsub.Health) *http.Client {
	mux := http.NewServeMux()
	mux.Handle("/livez", h.Live())
	mux.Handle("/readyz", h.Ready())
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(p) }()
	transport := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
	})
	return &http.Client{Transport: transport, Timeout: time.Second}
}

// bubble runs f with a supervisor that has not started yet.
func bubble(t *testing.T, health *healthsub.Health, f func(r *rig), opts ...taskvisor.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, health: health, client: serve(t, health)}
		var err error
		if r.sup, err = taskvisor.New(append([]taskvisor.Option{taskvisor.WithName("shop"), taskvisor.WithSubscriber(health)}, opts...)...); err != nil {
			t.Fatal(err)
		}
		f(r)
		_ = r.sup.Shutdown(context.Background()) // a body that was made to hang is late
		time.Sleep(3 * time.Hour)                // until it is back
	})
}

// running is bubble with a supervisor that has started.
func running(t *testing.T, health *healthsub.Health, f func(r *rig), opts ...taskvisor.Option) {
	t.Helper()
	bubble(t, health, func(r *rig) {
		if err := r.sup.Start(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		f(r)
	}, opts...)
}

// add registers a task and lets the bubble come to rest.
func (r *rig) add(spec taskvisor.TaskSpec) *taskvisor.Handle {
	r.t.Helper()
	h, err := r.sup.Add(context.Background(), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return h
}

// later lets time pass.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// get is one probe.
func (r *rig) get(path string) (code int, body string) {
	r.t.Helper()
	return get(r.t, r.client, "http://pipe"+path)
}

func get(t *testing.T, client *http.Client, url string) (code int, body string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// want probes both, and wants each part in what the one that fails says; the parts of
// a process that is well must be among all reasons.
func (r *rig) want(ready, live int, parts ...string) {
	r.t.Helper()
	gotReady, why := r.get("/readyz")
	gotLive, whyLive := r.get("/livez")
	if gotReady != ready || gotLive != live {
		r.t.Errorf("readyz %d, livez %d, want %d and %d: %s%s", gotReady, gotLive, ready, live, why, whyLive)
	}
	if live != http.StatusOK {
		why = whyLive
	} else if ready == http.StatusOK {
		_, why = r.get("/readyz?verbose")
	}
	for _, part := range parts {
		if !strings.Contains(why, part) {
			r.t.Errorf("no %q in %s", part, why)
		}
	}
}

// reasons is the verbose answer.
func (r *rig) reasons() healthsub.Status {
	r.t.Helper()
	_, body := r.get("/readyz?verbose")
	var st struct {
		healthsub.Status
		Reasons []struct {
			healthsub.Reason
			Level string
		}
	}
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	for _, why := range st.Reasons {
		st.Status.Reasons = append(st.Status.Reasons, why.Reason)
	}
	return st.Status
}

// Bodies.

func succeed(context.Context) error { return nil }
func fail(context.Context) error    { return errBoom }

// block returns when it is told to.
func block(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// deaf returns after d, whatever it is told.
func deaf(d time.Duration) taskvisor.Func {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}

// gate is one that lets nobody in until it is opened.
type gate struct {
	name string
	open bool
	wake []func()
}

func (g *gate) Enter(_ taskvisor.Attempt, ready func()) bool {
	if !g.open {
		g.wake = append(g.wake, ready)
	}
	return g.open
}
func (g *gate) Leave(taskvisor.Attempt) {}
func (g *gate) String() string          { return g.name }

func (g *gate) openUp() {
	g.open = true
	for _, ready := range g.wake {
		ready()
	}
	synctest.Wait()
}
