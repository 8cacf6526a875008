package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestWhatDependsOnTheConnectionRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		sup, rec := taskvisortest.Start(t)
		if _, err := sup.AddAll(t.Context(), tree(&out)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		readme.Check(t, out.String())
		for task, want := range map[string]string{
			"metrics":    "A S",
			"connection": "A S ✗ B S",
			"cache":      "A S I C B S",
			"api":        "A S I C B S",
		} {
			if got := rec.Trace(task); got != want {
				t.Errorf("%s: %s, want %s", task, got, want)
			}
		}
	})
}
