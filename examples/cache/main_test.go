package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestRunNowAndPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		task, err := sup.Add(t.Context(), taskvisor.Periodic("refresh", time.Minute, load))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, path := range []string{"run", "pause", "pause", "run", "resume"} {
			time.Sleep(10 * time.Second)
			w := httptest.NewRecorder()
			steer(task).ServeHTTP(w, httptest.NewRequest("POST", "/"+path, nil))
			synctest.Wait()
			out.WriteString(w.Body.String())
		}
		readme.Check(t, out.String())
		if got, want := rec.Trace("refresh"), "A S ✓ B ! S ✓ B ‖ ! ▶ S ✓ B"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		for _, e := range rec.Events("refresh") {
			if e.Kind == taskvisor.TaskPaused && e.Err.Error() != "asked by 192.0.2.1:1234" {
				t.Errorf("paused by %v", e.Err)
			}
		}
	})
}
