package flightsub_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var errBoom = errors.New("boom")

// document is what the tests read of incident.json.
type document struct {
	Version                            int
	ID, Supervisor, Task, Kind, Reason string
	GoVersion                          string `json:"go_version"`
	Suppressed                         int
	Event                              struct{ Kind, Error, Result, Stack string }
	Policy                             string
	Status                             *struct {
		Name, State string
		LastError   string `json:"last_error"`
		Stack       string
	}
	Ended      *struct{ Outcome, Error string }
	Running    []struct{ Name string } `json:"still_running"`
	Supervised map[string]int          `json:"tasks_by_state"`
	State      string                  `json:"supervisor_state"`
	LastEvents []struct {
		Kind, Error, Result string
		Attempt             int
	} `json:"last_events"`
	Error   *tree    `json:"error_tree"`
	LeftOut []string `json:"left_out"`
	Trace   string
}

type tree struct {
	Type, Text string
	Causes     []*tree
}

func newRecorder(t testing.TB, opts ...flightsub.Option) *flightsub.Recorder {
	t.Helper()
	r, err := flightsub.New(append([]flightsub.Option{flightsub.WithLogger(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// running runs f with a supervisor that has started, in a bubble, and ends it.
func running(t *testing.T, r *flightsub.Recorder, f func(t *testing.T, sup *taskvisor.Supervisor), opts ...taskvisor.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sup, err := taskvisor.New(append([]taskvisor.Option{taskvisor.WithName("shop"), taskvisor.WithSubscriber(r)}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		f(t, sup)
		_ = sup.Shutdown(context.Background()) // a body that was made to hang is late
		time.Sleep(3 * time.Hour)              // until it is back
	})
}

// add registers tasks and lets the bubble come to rest.
func add(t *testing.T, sup *taskvisor.Supervisor, specs ...taskvisor.TaskSpec) []*taskvisor.Handle {
	t.Helper()
	handles, err := sup.AddAll(context.Background(), specs...)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return handles
}

func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// ask sends a request to the recorder's handler.
func ask(r *flightsub.Recorder, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// parts downloads an incident and unpacks it.
func parts(t testing.TB, r *flightsub.Recorder, id string) map[string]string {
	t.Helper()
	w := ask(r, "GET", "/incident?id="+id)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/zip" {
		t.Fatalf("%s: %d %s", id, w.Code, w.Body)
	}
	return unzip(t, w.Body.Bytes())
}

func unzip(t testing.TB, data []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		got[f.Name] = string(text)
	}
	return got
}

// read returns the document and the stacks of an incident.
func read(t testing.TB, r *flightsub.Recorder, id string) (d document, stacks string) {
	t.Helper()
	got := parts(t, r, id)
	if err := json.Unmarshal([]byte(got["incident.json"]), &d); err != nil {
		t.Fatalf("%v in %s", err, got["incident.json"])
	}
	return d, got["stacks.txt"]
}

// only returns the one incident that there is.
func only(t *testing.T, r *flightsub.Recorder) (d document, stacks string) {
	t.Helper()
	list := r.List()
	if len(list) != 1 {
		t.Fatalf("%d incidents: %+v", len(list), list)
	}
	return read(t, r, list[0].ID)
}

// onDisk counts the files in a directory and their bytes, and fails at unfinished ones.
func onDisk(t *testing.T, dir string) (n int, bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just gone
		}
		if err != nil {
			return err
		}
		if filepath.Ext(path) == ".zip" {
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			unzip(t, text) // whole, or not at all
		}
		n++
		bytes += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, bytes
}

// Bodies.

func fail(context.Context) error { return errBoom }
func panics(context.Context) error {
	panic(errBoom)
}

// block returns when it is told to.
func block(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// deaf returns after d, whatever it is told.
func deaf(d time.Duration) taskvisor.Func {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}
