package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// freeAddress returns an address that nobody listens at for the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func waitReady(t *testing.T, h *taskvisor.Handle) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !h.Status().Ready; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not ready: %+v", h.Status())
		}
	}
}

func TestRequestInHandIsAnswered(t *testing.T) {
	addr, began := freeAddress(t), make(chan struct{})
	var handled atomic.Bool
	sup, rec := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("http", serve(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		time.Sleep(200 * time.Millisecond)
		io.WriteString(w, "in time")
		handled.Store(true)
	})), taskvisor.WithReadiness()))
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, h)
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-began
	outcome, err := h.Cancel(t.Context())
	if !handled.Load() {
		t.Error("the task has ended before its last request")
	}
	if got := <-answer; got != "in time" {
		t.Errorf("answer %q", got)
	}
	if err != nil || outcome.Kind != taskvisor.OutcomeCanceled {
		t.Errorf("%v, %v", outcome.Kind, err)
	}
	if err := sup.Shutdown(t.Context()); err != nil { // who waits for a task is told before its last event comes
		t.Error(err)
	}
	if got, want := rec.Trace("http"), "A S Q ✓ D"; got != want {
		t.Errorf("%s, want %s: a drained server is no failure", got, want)
	}
}

func TestAddressInUseIsRetried(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sup, _ := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("http", serve(ln.Addr().String(), http.NotFoundHandler()),
		taskvisor.WithReadiness(), taskvisor.ConstantBackoff(10*time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); h.Status().Streak == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the address was not in use")
		}
	}
	ln.Close()
	waitReady(t, h)
}

// A client that never ends its request does not hold up the stop, and is heard of.
func TestSlowClientIsCutOff(t *testing.T) {
	addr, began, cutOff := freeAddress(t), make(chan struct{}), make(chan struct{})
	sup, _ := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("http", serve(addr, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(cutOff)
	})), taskvisor.WithReadiness(), taskvisor.WithGrace(1200*time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, h)
	go http.Get("http://" + addr)
	<-began
	outcome, err := h.Cancel(context.Background())
	if err != nil || outcome.Kind != taskvisor.OutcomeCanceled || outcome.Err == nil {
		t.Errorf("%v with %v, %v", outcome.Kind, outcome.Err, err)
	}
	select {
	case <-cutOff:
	case <-time.After(10 * time.Second):
		t.Error("the request lives on")
	}
}
