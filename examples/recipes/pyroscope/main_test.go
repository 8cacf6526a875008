package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/grafana/pyroscope-go"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// profiles returns a server that keeps what it is sent, unpacked.
func profiles(t *testing.T) (url string, got chan []byte) {
	got = make(chan []byte, 64)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mr, err := r.MultipartReader()
		if err != nil {
			return
		}
		for {
			part, err := mr.NextPart()
			if err != nil {
				return
			}
			b, err := io.ReadAll(part)
			if err != nil {
				t.Error(err)
			}
			if zr, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
				if b, err = io.ReadAll(zr); err != nil {
					t.Error(err)
				}
			}
			got <- b
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func TestProfilesSayWhoseTheyAre(t *testing.T) {
	url, got := profiles(t)
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "shop", ServerAddress: url, UploadRate: 500 * time.Millisecond,
		ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer profiler.Stop()
	sup, _ := taskvisortest.Start(t)
	if _, err := sup.Add(t.Context(), taskvisor.Restartable("hash", hash)); err != nil {
		t.Fatal(err)
	}
	wanted := []string{"taskvisor_task", "hash", "taskvisor_supervisor", "taskvisor_task_id", "algorithm", "sha256"}
	for end := time.After(30 * time.Second); ; {
		select {
		case b := <-got:
			all := true
			for _, w := range wanted {
				all = all && bytes.Contains(b, []byte(w)) // in the profile's table of strings
			}
			if all {
				return
			}
		case <-end:
			t.Fatal("no profile with the labels of the task")
		}
	}
}
