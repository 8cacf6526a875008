package flightsub_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// noise is a text that no compressor makes much smaller.
func noise(rnd *rand.ChaCha8, n int) string {
	b := make([]byte, n)
	_, _ = rnd.Read(b)
	return base64.StdEncoding.EncodeToString(b)[:n]
}

// TestTheWorstFits: what hangs and fails in great numbers, with texts of which each byte is
// six in JSON, makes an incident that fits the smallest store, says what it leaves out, and
// pushes no other out.
func TestTheWorstFits(t *testing.T) {
	control := strings.Repeat("\x01", 4<<10)
	rnd := rand.NewChaCha8([32]byte{})
	for name, text := range map[string]func() string{
		"noise":   func() string { return noise(rnd, 4<<10) },
		"control": func() string { return control },
		"invalid": func() string { return strings.Repeat("a\xff", 4<<10) },
	} {
		r := newRecorder(t, flightsub.WithMaxBytes(1<<20))
		r.OnEvent(t.Context(), stuck("shop", "before"))
		status := func(i int) taskvisor.TaskStatus {
			return taskvisor.TaskStatus{ID: taskvisor.TaskID(i + 1), Name: fmt.Sprint("hangs", i), Attempt: 1, LastErr: errors.New(text()),
				LastError: text()[:1<<10], Note: text()[:1<<10], Stack: strings.Repeat(text(), 4)}
		}
		grace := &taskvisor.GraceExceededError{Grace: time.Second}
		errs := []error{grace}
		for i := range 1000 {
			grace.Tasks = append(grace.Tasks, status(i))
			errs = append(errs, errors.New(text()))
		}
		if err := r.Attach(func() taskvisor.Snapshot { return taskvisor.Snapshot{Supervisor: "shop", Tasks: grace.Tasks} }); err != nil {
			t.Fatal(err)
		}
		e := taskvisor.Event{Kind: taskvisor.GraceExceeded, Supervisor: "shop", Time: time.Now(), Err: errors.Join(errs...)}
		r.OnEvent(t.Context(), e)
		list := r.List()
		if len(list) != 2 {
			t.Fatalf("%s: %d incidents", name, len(list))
		}
		got := parts(t, r, list[0].ID)
		if n, m := len(got["incident.json"]), len(got["stacks.txt"]); n > 250<<10 || m > 257<<10 {
			t.Errorf("%s: incident.json of %d bytes, stacks of %d", name, n, m)
		}
		d, _ := read(t, r, list[0].ID)
		left := fmt.Sprint(d.LeftOut)
		if len(d.Running) == 0 || d.Running[0].Name != "hangs0" || d.Error == nil || len(d.Error.Causes) == 0 {
			t.Errorf("%s: %d of those that run, error %+v", name, len(d.Running), d.Error)
		}
		if !strings.Contains(left, fmt.Sprint(1000-len(d.Running), " of still_running")) || !strings.Contains(left, "of error_tree") || !strings.Contains(left, "of stacks.txt") {
			t.Errorf("%s: said to be left out: %s", name, left)
		}
	}
}

// TestManyDependencies: a policy may be as long as a program makes it.
func TestManyDependencies(t *testing.T) {
	r := newRecorder(t, flightsub.WithMaxBytes(1<<20))
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		var names []string
		rnd := rand.NewChaCha8([32]byte{})
		for range 10_000 {
			names = append(names, noise(rnd, 120))
			add(t, sup, taskvisor.Restartable(names[len(names)-1], block))
		}
		add(t, sup, taskvisor.Restartable("orders", panics, taskvisor.After(names...), taskvisor.ConstantBackoff(time.Hour)))
		d, _ := only(t, r)
		if d.Kind != "panic" || !strings.HasPrefix(d.Policy, "orders: ") || len(d.Policy) > 5000 || fmt.Sprint(d.LeftOut) != "[status]" {
			t.Errorf("%s of %q, policy of %d, %v left out", d.Kind, d.Task, len(d.Policy), d.LeftOut)
		}
	})
}
