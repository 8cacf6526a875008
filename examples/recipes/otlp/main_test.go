package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestMetricsAndTracesArriveBeforeTheEnd(t *testing.T) {
	got := make(map[string][]byte)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			zr, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = zr
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		got[r.URL.Path] = append(got[r.URL.Path], b...) // the exporters are shut down one after the other
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	if err := run(t.Context(), taskvisor.Once("job", taskvisortest.Script(taskvisortest.Succeed()))); err != nil {
		t.Fatal(err)
	}
	collector.Close()
	for path, want := range map[string][]string{
		"/v1/metrics": {"taskvisor.task.attempts", "taskvisor.task.attempt.duration", "success"},
		"/v1/traces":  {"run job", "taskvisor.attempt.result"},
	} {
		for _, w := range want {
			if !bytes.Contains(got[path], []byte(w)) {
				t.Errorf("no %s in what came at %s, %d bytes", w, path, len(got[path]))
			}
		}
	}
}
