package suture_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
)

// fixed is a Jitter that multiplies by it.
type fixed int

func (f fixed) Jitter(d time.Duration) time.Duration { return time.Duration(f) * d }

// panicky is a Jitter that panics.
type panicky struct{}

func (panicky) Jitter(time.Duration) time.Duration { panic("jitter") }

// Beyond the threshold nothing is restarted before the FailureBackoff has passed; what
// runs goes on, what is added starts, and the count is 0 afterwards.
func TestFailureBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a, b, c := &journal{}, newService("a"), newService("b"), newService("c")
		sup := suture.New("top", suture.Spec{
			EventHook: j.hook, FailureThreshold: 2.5, FailureDecay: 1e9,
			FailureBackoff: time.Minute, BackoffJitter: fixed(3),
		})
		sup.Add(a)
		sup.Add(b)
		_ = serve(t, sup, func() {
			a.send(errBroken)
			a.send(errBroken)
			wantCalls(t, a, 3)
			a.send(errBroken) // the third failure is beyond 2.5
			b.send(nil)       // does not prolong it
			sup.Add(c)
			synctest.Wait()
			wantCalls(t, c, 1)
			time.Sleep(3*time.Minute - time.Second)
			synctest.Wait()
			wantCalls(t, a, 3)
			wantCalls(t, b, 1)
			time.Sleep(time.Second)
			synctest.Wait()
			wantCalls(t, a, 4)
			wantCalls(t, b, 2)
			a.send(errBroken)
		})
		wantJournal(t, j, "a:broken:1.00:true a:broken:2.00:true backoff a:broken:3.00:false b:<nil>:4.00:false resume a:broken:1.00:true")
	})
}

// The count halves each FailureDecay seconds, smoothly.
func TestFailureDecay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a := &journal{}, newService("a")
		sup := suture.New("top", suture.Spec{EventHook: j.hook, FailureDecay: 10})
		sup.Add(a)
		_ = serve(t, sup, func() {
			a.send(errBroken)
			a.send(errBroken)
			time.Sleep(10*time.Second - 10*time.Millisecond) // that send takes
			a.send(errBroken)
			time.Sleep(5*time.Second - 10*time.Millisecond)
			a.send(errBroken)
		})
		wantJournal(t, j, "a:broken:1.00:true a:broken:2.00:true a:broken:2.00:true a:broken:2.41:true")
	})
}

// The defaults that the documentation names.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a := &journal{}, newService("a")
		sup := suture.New("top", suture.Spec{EventHook: j.hook, BackoffJitter: suture.NoJitter{}, FailureDecay: 1e9})
		sup.Add(a)
		_ = serve(t, sup, func() {
			for range 6 {
				a.send(nil)
			}
			wantCalls(t, a, 6) // five failures are within the threshold
			time.Sleep(15*time.Second - 20*time.Millisecond)
			synctest.Wait()
			wantCalls(t, a, 6)
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			wantCalls(t, a, 7)
			a.hangs = true // from the next call on
			a.send(nil)
		})
		if events := j.all(); events[len(events)-1].Type() != suture.EventTypeStopTimeout {
			t.Errorf("the last event is %v, not the Timeout's after 10 s", events[len(events)-1])
		}
		a.end <- nil
	})
}

func TestDefaultJitter(t *testing.T) {
	var seen [2]bool
	for range 1000 {
		d := new(suture.DefaultJitter).Jitter(time.Minute)
		if d < time.Minute || d >= 90*time.Second {
			t.Fatalf("%v is not from 60 s to 90 s", d)
		}
		seen[(d-time.Minute)/(15*time.Second)] = true
	}
	if !seen[0] || !seen[1] {
		t.Error("not drawn from the whole range")
	}
}

// A Jitter that panics does not hold restarts back for ever.
func TestJitterPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a := &journal{}, newService("a")
		sup := suture.New("top", suture.Spec{EventHook: j.hook, FailureThreshold: .5, FailureBackoff: time.Minute, BackoffJitter: panicky{}})
		sup.Add(a)
		_ = serve(t, sup, func() {
			a.send(errBroken)
			wantCalls(t, a, 1)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantCalls(t, a, 2)
		})
		wantJournal(t, j, "backoff a:broken:1.00:false resume")
	})
}

// A stop ends the wait for the end of a FailureBackoff, and nothing is told after it.
func TestStopDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a, b := &journal{}, newService("a"), newService("b")
		sup := suture.New("top", suture.Spec{EventHook: j.hook, FailureThreshold: .5, FailureBackoff: time.Hour})
		token := sup.Add(a)
		sup.Add(b)
		start := time.Now()
		_ = serve(t, sup, func() {
			a.send(errBroken)
			if err := sup.RemoveAndWait(token, time.Second); err != nil {
				t.Error(err)
			}
			b.send(errBroken)
		})
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		wantJournal(t, j, "backoff a:broken:1.00:false b:broken:2.00:false")
	})
}

// A service that returns at once is slowed down although no threshold does it.
func TestRestartFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		sup := suture.New("top", suture.Spec{EventHook: func(suture.Event) {}, FailureThreshold: 1e9})
		sup.Add(serviceFunc(func(context.Context) error { calls++; return nil }))
		_ = serve(t, sup, func() { time.Sleep(time.Second) })
		if calls < 500 || calls > 1001 {
			t.Errorf("%d calls in a second", calls)
		}
	})
}
