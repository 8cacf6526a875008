package main

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestHandlerShutsDownAndAnswers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sup, rec := taskvisortest.Start(t)
	if _, err := sup.Add(t.Context(), taskvisor.Once("http", serve(ln, quit(sup)))); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+ln.Addr().String()+"/quit", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Error(resp.Status)
	}
	began := time.Now()
	if err := sup.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the end took %v: the handler and the shutdown waited for each other", d)
	}
	if got, want := rec.Trace(""), "H V"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
