package suture_test

import (
	"bytes"
	"encoding/json"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/suture"
)

// A hook that blocks keeps no service from being restarted, nor Serve from returning.
func TestHookBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, a, told := make(chan struct{}), newService("a"), 0
		sup := suture.New("top", suture.Spec{EventHook: func(suture.Event) { told++; <-release }})
		sup.Add(a)
		var cancelled time.Time
		_ = serve(t, sup, func() {
			a.send(errBroken)
			a.send(errBroken)
			wantCalls(t, a, 3)
			cancelled = time.Now()
		})
		if d := time.Since(cancelled); d != 5*time.Second {
			t.Errorf("Serve waited %v for the hook", d)
		}
		if told != 1 {
			t.Errorf("told %d times at once", told)
		}
		close(release)
		synctest.Wait()
		if told != 2 {
			t.Errorf("told %d times", told)
		}
	})
}

// A hook may use its supervisor, and ends with its goroutine only.
func TestHookUsesTheSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newService("a"), newService("b")
		var sup *suture.Supervisor
		var token suture.ServiceToken
		told := 0
		sup = suture.New("top", suture.Spec{EventHook: func(suture.Event) {
			if told++; told == 1 {
				sup.Add(b)
				if err := sup.RemoveAndWait(token, 0); err != nil {
					t.Error(err)
				}
				new(testing.T).FailNow() // which is runtime.Goexit
			}
		}})
		token = sup.Add(a)
		_ = serve(t, sup, func() {
			a.send(errBroken)
			wantCalls(t, b, 1)
			b.send(errBroken)
		})
		if told != 2 {
			t.Errorf("told %d times", told)
		}
	})
}

func TestPanicEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, a := &journal{}, newService("a")
		sup := suture.New("top", suture.Spec{EventHook: j.hook, Sprint: func(v any) string { return "<" + v.(string) + ">" }})
		sup.Add(a)
		_ = serve(t, sup, func() { a.send(panics{"boom"}) })
		e := j.all()[0].(suture.EventServicePanic)
		if e.PanicMsg != "<boom>" || !strings.Contains(e.Stacktrace, "(*service).Serve") || e.Service != suture.Service(a) || e.Supervisor != sup {
			t.Errorf("%+v", e)
		}
		if got := e.String(); !strings.Contains(got, "top") || !strings.Contains(got, "<boom>") || !strings.Contains(got, "(*service).Serve") {
			t.Error(got)
		}
	})
}

// Without a hook, package log prints what happens.
func TestDefaultHook(t *testing.T) {
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(log.Default().Writer())
	synctest.Test(t, func(t *testing.T) {
		a := newService("a")
		sup := suture.NewSimple("top")
		sup.Add(a)
		_ = serve(t, sup, func() { a.send(errBroken) })
	})
	if got := out.String(); !strings.Contains(got, "top: service a failed (1.00 failures, threshold 5.00), it is restarted: broken") {
		t.Errorf("log %q", got)
	}
}

// What events say as maps and as JSON, by the names that suture documents.
func TestEventForms(t *testing.T) {
	for _, tt := range []struct {
		event suture.Event
		typ   suture.EventType
		keys  string
		text  string
	}{
		{suture.EventStopTimeout{SupervisorName: "top", ServiceName: "a"}, suture.EventTypeStopTimeout,
			"service_name supervisor_name", "top: service a was stopped and still runs"},
		{suture.EventServicePanic{SupervisorName: "top", ServiceName: "a", PanicMsg: "boom", Stacktrace: "stack"}, suture.EventTypeServicePanic,
			"current_failures failure_threshold panic_msg restarting service_name stacktrace supervisor_name",
			"top: service a failed (0.00 failures, threshold 0.00), it is not restarted now: panic: boom\nstack"},
		{suture.EventServiceTerminate{SupervisorName: "top", ServiceName: "a", Restarting: true, Err: errBroken}, suture.EventTypeServiceTerminate,
			"current_failures error failure_threshold restarting service_name supervisor_name",
			"top: service a failed (0.00 failures, threshold 0.00), it is restarted: broken"},
		{suture.EventBackoff{SupervisorName: "top"}, suture.EventTypeBackoff, "supervisor_name", "top: too many failures, restarts are held back"},
		{suture.EventResume{SupervisorName: "top"}, suture.EventTypeResume, "supervisor_name", "top: restarts go on"},
	} {
		if tt.event.Type() != tt.typ {
			t.Errorf("%T has type %d", tt.event, tt.event.Type())
		}
		if got := tt.event.String(); got != tt.text {
			t.Errorf("%T is %q", tt.event, got)
		}
		m := tt.event.Map()
		if got := strings.Join(sortedKeys(m), " "); got != tt.keys || m["supervisor_name"] != "top" {
			t.Errorf("%T has the map %v", tt.event, m)
		}
		if text, err := json.Marshal(tt.event); err != nil || !strings.Contains(string(text), `"supervisor_name":"top"`) {
			t.Errorf("%T: %s, %v", tt.event, text, err)
		}
	}
}
