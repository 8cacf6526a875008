//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

func TestHangupReadsTheConfigurationAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.conf")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	sup, rec := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("server", server(path)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := sup.Add(t.Context(), reloader(h))
	if err != nil {
		t.Fatal(err)
	}
	serves := func(note string) func() bool { return func() bool { return h.Status().Note == "serving "+note } }
	eventually(t, "serves one", serves("one"))
	eventually(t, "listens", func() bool { return r.Status().Ready })
	write("two\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "serves two", serves("two"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a third attempt", func() bool { return h.Status().Attempt == 3 })
	eventually(t, "still serves two", serves("two"))
	// A body may run before the recorder has heard of it.
	eventually(t, "a trace of three attempts, but "+rec.Trace("server"), func() bool { return rec.Trace("server") == "A S I C B S I C B S" })
	if st := h.Status(); st.Streak != 0 {
		t.Errorf("%d failures", st.Streak)
	}
}

func TestNoConfigurationAtTheStartIsFatal(t *testing.T) {
	sup, _ := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("server", server(filepath.Join(t.TempDir(), "none"))))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := h.Wait(t.Context()); err != nil || o.Kind != taskvisor.OutcomeFatal {
		t.Errorf("%v, %v", o.Kind, err)
	}
}
