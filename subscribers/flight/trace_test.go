package flightsub_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/trace"
	"strings"
	"testing"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// flight starts the process's flight recorder for the length of the test.
func flight(t testing.TB) *trace.FlightRecorder {
	t.Helper()
	fr := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: time.Second, MaxBytes: 4 << 20})
	if err := fr.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fr.Stop)
	return fr
}

// TestRecording: the Go tool reads the recording of an incident, and finds in it what
// the program did before.
func TestRecording(t *testing.T) {
	r := newRecorder(t, flightsub.WithFlightRecorder(flight(t)))
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(r))
	if err != nil {
		t.Fatal(err)
	}
	work := func(ctx context.Context) error {
		trace.WithRegion(ctx, "charge invoices", func() { trace.Log(ctx, "invoice", "4711") })
		panic(errBoom)
	}
	if err := sup.Run(context.Background(), taskvisor.Restartable("orders", work, taskvisor.WithMaxRetries(0))); err == nil {
		t.Fatal("the task has not failed")
	}
	d, _ := only(t, r)
	if d.Trace != "trace.out" {
		t.Fatalf("trace: %s", d.Trace)
	}
	w := ask(r, "GET", "/?part=trace.out&id="+d.ID)
	if w.Code != 200 || !strings.HasSuffix(w.Header().Get("Content-Disposition"), `.trace"`) {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	file := filepath.Join(t.TempDir(), "trace.out")
	if err := os.WriteFile(file, w.Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "trace", "-d=parsed", file).CombinedOutput()
	if err != nil {
		t.Fatalf("go tool trace: %v: %.500s", err, out)
	}
	for _, want := range []string{"RegionBegin", `"charge invoices"`, `"4711"`, "StateTransition"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in %d bytes of the parsed trace", want, len(out))
		}
	}
	t.Logf("a recording of %d bytes, an incident of %d", w.Body.Len(), r.List()[0].Bytes)
}

// TestNoRecording: an incident without one says why.
func TestNoRecording(t *testing.T) {
	e := taskvisor.Event{Kind: taskvisor.TaskStuck, Supervisor: "shop", Task: "t", Time: time.Now()}
	stopped := newRecorder(t, flightsub.WithFlightRecorder(trace.NewFlightRecorder(trace.FlightRecorderConfig{})))
	stopped.OnEvent(t.Context(), e)
	if d, _ := only(t, stopped); !strings.Contains(d.Trace, "disabled") {
		t.Errorf("trace: %s", d.Trace)
	}
	small := newRecorder(t, flightsub.WithFlightRecorder(flight(t)), flightsub.WithMaxBytes(1<<20))
	names := make([]string, 0, 4096)
	for i := range cap(names) { // half a megabyte of strings that are all different
		names = append(names, strings.Repeat(string(rune('a'+i%26)), 200)+time.Unix(int64(i), 0).String())
	}
	for _, name := range names {
		trace.Log(t.Context(), "x", name)
	}
	small.OnEvent(t.Context(), e)
	if d, _ := only(t, small); !strings.Contains(d.Trace, "larger than half") {
		t.Errorf("trace: %s", d.Trace)
	}
}
