package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestPartsStopInTheOppositeOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		sup, rec := taskvisortest.Start(t)
		if _, err := sup.AddAll(t.Context(), parts(&out)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := sup.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		readme.Check(t, out.String())
		if got, want := rec.Trace(""), "H L L L V"; got != want {
			t.Errorf("supervisor %q, want %q", got, want)
		}
		for _, e := range rec.Events() {
			if e.Kind == taskvisor.TaskFailed || e.Kind == taskvisor.TaskStuck {
				t.Errorf("an orderly stop with %v", e)
			}
		}
	})
}
