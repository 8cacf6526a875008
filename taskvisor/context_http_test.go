package taskvisor_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// pipeListener is a listener in memory, so that a bubble can wait for it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done(): // the transport's, which outlives the request's
		return nil, context.Cause(ctx)
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// hangingServer serves two resources that never end, the second of which begins.
// It says when a request has gone away.
func hangingServer(gone chan<- struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	return mux
}

// fetch is an ordinary client's code.
func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// A request made with the attempt's context ends with it, with the right error,
// and so does the server's side of it.
func TestHTTPRequestEndsWithItsAttempt(t *testing.T) {
	for name, e := range ctxEndings {
		if e.cause == context.Canceled { // nothing ends such an attempt but its body
			continue
		}
		for _, path := range []string{"/silent", "/slow"} {
			t.Run(name+path, func(t *testing.T) {
				inRoom(t, func(r *room) {
					l := &pipeListener{make(chan net.Conn), make(chan struct{})}
					gone := make(chan struct{}, 1)
					server := &http.Server{Handler: hangingServer(gone), ReadHeaderTimeout: time.Hour}
					served := make(chan error, 1)
					go func() { served <- server.Serve(l) }()
					transport := &http.Transport{DialContext: l.dial}

					var got error
					ctx := r.attempt(e, func(ctx context.Context) {
						begin := time.Now()
						got = fetch(ctx, &http.Client{Transport: transport}, "http://pipe"+path)
						same(t, "ended after", time.Since(begin), time.Minute)
					})
					checkHTTPError(t, got, e)
					checkEnded(t, "context", ctx, e)
					<-gone
					transport.CloseIdleConnections()
					server.Close()
					isAll(t, "server", <-served, http.ErrServerClosed)
				})
			})
		}
	}
}

// checkHTTPError demands that a client's error tells why the attempt ended.
func checkHTTPError(t *testing.T, err error, e ctxEnding) {
	t.Helper()
	isAll(t, "request", err, append(e.also, e.cause)...)
	var ue *url.Error
	if errors.As(err, &ue) {
		same(t, "Timeout()", ue.Timeout(), e.cause == taskvisor.ErrAttemptTimeout)
	}
}

// A request that the stopped attempt's body reports is a cancellation, one that
// an inner deadline ended is a failure, and is retried.
func TestHTTPRequestIsClassified(t *testing.T) {
	inRoom(t, func(r *room) {
		l := &pipeListener{make(chan net.Conn), make(chan struct{})} // nobody accepts
		defer l.Close()
		client := &http.Client{Transport: &http.Transport{DialContext: l.dial}}
		impatient := &http.Client{Transport: client.Transport, Timeout: time.Second}
		n := 0
		h := r.add(taskvisor.Restartable("a", func(ctx context.Context) error {
			if n++; n == 1 {
				return fetch(ctx, impatient, "http://pipe/")
			}
			return fetch(ctx, client, "http://pipe/")
		}, taskvisor.WithTimeout(time.Minute), taskvisor.ConstantBackoff(time.Second)))
		time.Sleep(90 * time.Second)
		synctest.Wait()
		h.Stop()
		r.end(h)
		r.trace("a", "A S ✗ B S T ✗ B S Q C D")
		failed := r.events(taskvisor.TaskFailed)
		same(r, "client's timeout", failed[0].Result, taskvisor.ResultFailure)
		same(r, "attempt's timeout", failed[1].Result, taskvisor.ResultTimeout)
		isAll(r, "stop", r.events(taskvisor.TaskCanceled)[0].Err, taskvisor.ErrRemoved)
	})
}

// The same over a real connection.
func TestHTTPRequestOverTCP(t *testing.T) {
	// A request that was stopped before it was sent never arrives, so nobody waits.
	server := httptest.NewServer(hangingServer(make(chan struct{}, 4))) // on 127.0.0.1
	defer server.Close()
	for name, e := range map[string]ctxEnding{
		"timeout": {timeout: 20 * time.Millisecond, cause: taskvisor.ErrAttemptTimeout, also: []error{context.DeadlineExceeded}},
		"removed": {cause: taskvisor.ErrRemoved, also: []error{context.Canceled}},
	} {
		for _, path := range []string{"/silent", "/slow"} {
			t.Run(name+path, func(t *testing.T) {
				sup, _ := taskvisortest.Start(t)
				var opts []taskvisor.TaskOption
				if e.timeout > 0 {
					opts = append(opts, taskvisor.WithTimeout(e.timeout))
				}
				begun := make(chan struct{})
				h, err := sup.Add(t.Context(), taskvisor.Once("a", func(ctx context.Context) error {
					close(begun)
					return fetch(ctx, server.Client(), server.URL+path)
				}, opts...))
				if err != nil {
					t.Fatal(err)
				}
				<-begun
				if e.timeout == 0 {
					h.Stop()
				}
				o, err := h.Wait(t.Context())
				same(t, "error of waiting", err, nil)
				isAll(t, "outcome", o.Err, append(e.also, e.cause)...)
				if e.timeout > 0 {
					var timeout *taskvisor.TimeoutError
					if !errors.As(o.Err, &timeout) {
						t.Fatalf("outcome's error %v", o.Err)
					}
					checkHTTPError(t, timeout.Err, e)
				}
			})
		}
	}
}
