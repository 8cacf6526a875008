package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// demo is a server with one endpoint for each kind of trouble.
type demo struct {
	base *url.URL
	srv  *http.Server
	done chan struct{} // closed when the server's goroutine has ended
}

// startDemo listens on a free loopback port. Close ends it.
func startDemo() (*demo, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	d := &demo{
		base: &url.URL{Scheme: "http", Host: ln.Addr().String(), Path: "/"},
		srv:  limited(demoMux()),
		done: make(chan struct{}),
	}
	// Ends when Close closes the server; Close waits for it.
	go func() {
		defer close(d.done)
		_ = d.srv.Serve(ln) // ends by Close, and only so
	}()
	return d, nil
}

// Close drops all connections and waits for the server's goroutine.
func (d *demo) Close() {
	_ = d.srv.Close()
	<-d.done
}

func demoMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "status: ok") })
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/flaky", rotate(200, 200, 500, 500))
	mux.HandleFunc("/failing", rotate(500))
	mux.HandleFunc("/busy", rotate(200, 503, 503))
	mux.HandleFunc("/gone", rotate(200, 200, 200, 410))
	mux.HandleFunc("/hanging", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/reset", reset)
	mux.HandleFunc("/hook", rotate(204, 204, 500))
	return mux
}

// rotate answers with one status after the other, round and round. A 503 asks
// for a second of patience.
func rotate(codes ...int) http.HandlerFunc {
	var n atomic.Uint64
	return func(w http.ResponseWriter, _ *http.Request) {
		code := codes[int((n.Add(1)-1)%uint64(len(codes)))]
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(code)
	}
}

// slow takes between 300 and 900 ms.
func slow(w http.ResponseWriter, r *http.Request) {
	wait := time.NewTimer(time.Duration(300+time.Now().UnixNano()%600) * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
		fmt.Fprintln(w, "status: ok")
	case <-r.Context().Done():
	}
}

// reset answers with a TCP reset.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// targets are the demo's: what is good, what is bad, and two probes with bugs
// of their own.
func (d *demo) targets() []target {
	var targets []target
	for _, name := range []string{"healthy", "slow", "flaky", "failing", "hanging", "reset", "busy", "gone"} {
		u := d.base.JoinPath(name)
		targets = append(targets, target{name: name, shown: u, full: u})
	}
	refused := &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/"} // where nobody listens
	gives := []taskvisor.TaskOption{taskvisor.WithMaxRetries(5)}
	healthy := targets[0]
	return append(targets,
		target{name: "refused", shown: refused, full: refused, opts: gives},
		target{name: "panicking", shown: healthy.shown, full: healthy.full, probe: panicking()},
		target{name: "stubborn", shown: healthy.shown, full: healthy.full, probe: stubborn(),
			opts: []taskvisor.TaskOption{taskvisor.WithStuckAfter(500 * time.Millisecond)}},
	)
}

// panicking has a bug: it takes for granted that each answer has a second field.
func panicking() taskvisor.Func {
	answers := []string{"status: ok", "status: ok", "maintenance"}
	var n atomic.Uint64
	return func(context.Context) error {
		answer := answers[int((n.Add(1)-1)%uint64(len(answers)))]
		if field := strings.Split(answer, ": ")[1]; field != "ok" {
			return errors.New("unexpected answer")
		}
		return nil
	}
}

// stubborn ignores its context: every third check sleeps well past its timeout,
// but not past the default grace.
func stubborn() taskvisor.Func {
	var n atomic.Uint64
	return func(context.Context) error {
		if n.Add(1)%3 == 2 {
			time.Sleep(4 * time.Second)
		}
		return nil
	}
}
