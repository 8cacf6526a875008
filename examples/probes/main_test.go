package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func ask(health *healthsub.Health, path string) string {
	w := httptest.NewRecorder()
	probes(health).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return strings.TrimRight(fmt.Sprintf("%s %d %s", path, w.Code, w.Body), " \n") + "\n"
}

func TestProbesFollowReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "consumer"))
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(health))
		h, err := sup.Add(t.Context(), taskvisor.Restartable("consumer", consume, taskvisor.WithReadiness()))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		look := func() { synctest.Wait(); out.WriteString(ask(health, "/livez") + ask(health, "/readyz")) }
		look()
		time.Sleep(3 * time.Second)
		look()
		h.Pause(nil)
		h.Interrupt(nil)
		look()
		readme.Check(t, out.String())
	})
}

func TestStuckIsNotLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "deaf"))
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(health))
		if _, err := sup.Add(t.Context(), taskvisor.Once("deaf", taskvisortest.Script(taskvisortest.Ignore(time.Minute)), taskvisor.WithTimeout(time.Second))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		if got := ask(health, "/livez"); !strings.HasPrefix(got, "/livez 200") {
			t.Errorf("%q: stuck for a second only", got)
		}
		time.Sleep(30 * time.Second) // the limit
		if got := ask(health, "/livez"); !strings.HasPrefix(got, "/livez 503") || !strings.Contains(got, "deaf") {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Minute)
	})
}

// From the signal on the probe says no, and the consumer still works. Signals come
// from outside of any bubble, so this one is in real time.
func TestDrainingIsNotReady(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "consumer"))
	sup, err := taskvisor.New(taskvisor.WithSignals(syscall.SIGUSR1), taskvisor.WithPreStopDelay(time.Hour), taskvisor.WithSubscriber(health))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- sup.Run(t.Context(), taskvisor.Restartable("consumer", taskvisortest.Script(taskvisortest.Block())))
	}()
	waitFor(t, health, "/readyz 200")
	signal := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	waitFor(t, health, "/readyz 503")
	if n := sup.Count(taskvisor.StateRunning); n != 1 {
		t.Errorf("%d run after the signal", n)
	}
	signal() // the delay is over
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// waitFor asks /readyz until the answer begins with want.
func waitFor(t *testing.T, health *healthsub.Health, want string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.HasPrefix(ask(health, "/readyz"), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q, want %q", ask(health, "/readyz"), want)
		}
	}
}
