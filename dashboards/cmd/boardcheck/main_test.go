package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const module = "../.."

// prometheus is a server that answers expressions with answer, and knows one
// value of each label and one exemplar.
func prometheus(t *testing.T, answer func(expr string) string) string {
	t.Helper()
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, data string) {
		fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
	}
	mux.HandleFunc("/api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		reply(w, `{"resultType":"matrix","result":[`+answer(r.FormValue("query"))+`]}`)
	})
	mux.HandleFunc("/api/v1/query_exemplars", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, `[{"seriesLabels":{},"exemplars":[{"labels":{"trace_id":"1"}}]}]`)
	})
	mux.HandleFunc("/api/v1/label/{name}/values", func(w http.ResponseWriter, r *http.Request) {
		reply(w, `["`+r.PathValue("name")+`"]`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

const (
	number = `{"metric":{},"values":[[1,"NaN"],[2,"3"]]}`
	nan    = `{"metric":{},"values":[[1,"NaN"]]}`
)

func check(t *testing.T, quiet bool, answer func(expr string) string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), options{module: module, server: prometheus(t, answer), window: 5 * time.Minute,
		rate: 30 * time.Second, quiet: quiet}, &out)
	return out.String(), err
}

func TestEverythingAnswered(t *testing.T) {
	out, err := check(t, false, func(expr string) string {
		if strings.Contains(expr, "$") {
			t.Errorf("a variable is left in %s", expr)
		}
		return number
	})
	if err != nil || !strings.Contains(out, " 0 excused, 0 wrong\n") {
		t.Errorf("error %v\n%s", err, out)
	}
	for _, want := range []string{"rule / TaskvisorTaskGaveUp", "taskvisor-task / $task", "/ exemplars", "/ annotation / Deploys"} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody asked for %q", want)
		}
	}
}

func TestOneUnanswered(t *testing.T) {
	for name, answer := range map[string]string{"nothing": "", "not a number": nan} {
		out, err := check(t, false, func(expr string) string {
			if strings.HasPrefix(expr, "avg(up{") {
				return answer
			}
			return number
		})
		if err == nil || !strings.Contains(out, "NOTHING  taskvisor-overview / Targets scraped / A\n\tavg(up{") {
			t.Errorf("%s: error %v\n%s", name, err, out)
		}
	}
}

func TestQuiet(t *testing.T) {
	if out, err := check(t, true, func(string) string { return "" }); err != nil || !strings.Contains(out, "23 questions: 23 answered") {
		t.Errorf("no alert fired: error %v\n%s", err, out)
	}
	out, err := check(t, true, func(expr string) string {
		if strings.Contains(expr, "TaskvisorTaskPanicking") {
			return number
		}
		return ""
	})
	if err == nil || !strings.Contains(out, "FIRED    alert / TaskvisorTaskPanicking") {
		t.Errorf("one alert fired: error %v\n%s", err, out)
	}
}

func TestServerRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":"error","error":"no such thing"}`)
	}))
	defer server.Close()
	err := run(t.Context(), options{module: module, server: server.URL, window: time.Minute, rate: time.Second}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("error %v, want the server's", err)
	}
}

// An excuse for a question that nobody asks hides nothing but confuses.
func TestExcusesAreForQuestions(t *testing.T) {
	all, err := questions(options{module: module, window: time.Minute, rate: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, q := range all {
		asked[q.where] = true
	}
	for where, reason := range excuses {
		if !asked[where] || len(reason) < 20 {
			t.Errorf("excuse for %q: asked %v, reason %q", where, asked[where], reason)
		}
	}
}
