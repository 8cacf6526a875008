package livesub_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// pipes is a network within a bubble: a reader that does not read holds up the writer,
// and nothing else.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// connect sends a request and reads the first line of the answer.
func (p pipes) connect(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	ours, theirs := net.Pipe()
	p <- theirs
	if _, err := io.WriteString(ours, "GET /x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(ours, 16)
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	return ours, r
}

// TestSlowReaders are let go after half a minute by a server that has no limits of its
// own, and hold up nobody until then: there are more of them than answers at once.
func TestSlowReaders(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		network := make(pipes)
		srv := &http.Server{Handler: page}
		go func() { _ = srv.Serve(network) }()
		var slow []net.Conn
		var rest []*bufio.Reader
		for range 10 {
			c, r := network.connect(t)
			slow, rest = append(slow, c), append(rest, r)
		}
		began := time.Now()
		_, r := network.connect(t)
		if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "</html>") {
			t.Errorf("a reader among slow ones: %v after %d bytes", err, len(text))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("it waited %s", took)
		}
		later(29 * time.Second)
		if text, err := io.ReadAll(rest[0]); err != nil || !strings.Contains(string(text), "</html>") {
			t.Errorf("one that reads again in time: %v after %d bytes", err, len(text))
		}
		later(2 * time.Second)
		for i, r := range rest[1:] {
			if text, _ := io.ReadAll(r); strings.Contains(string(text), "</html>") {
				t.Errorf("%d still gets its answer after half a minute", i)
			}
			_ = slow[i].Close()
		}
		close(network)
		_ = srv.Shutdown(context.Background())
		synctest.Wait()
	}, taskvisor.WithName("shop"))
}
