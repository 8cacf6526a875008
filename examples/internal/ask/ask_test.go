package ask_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
)

// serve answers every path with a text, and keeps the last question.
func serve(t *testing.T, code int, text string) (url string, asked *http.Request) {
	asked = &http.Request{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = *r
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

const vector = `{"data":{"result":[
	{"metric":{"task":"a","result":"success"},"value":[1700000000.25,"3"]},
	{"metric":{"task":"a","result":"failure"},"value":[1700000000.25,"0"]}]}}`

func TestQuery(t *testing.T) {
	url, asked := serve(t, http.StatusOK, vector)
	p := ask.Prometheus(url)
	samples, err := p.Query(t.Context(), `x{a="b"}`)
	if err != nil || len(samples) != 2 || samples[0].Value != 3 || samples[0].At != time.UnixMilli(1700000000250) || samples[0].Labels["task"] != "a" {
		t.Errorf("%v, %v", samples, err)
	}
	if q := asked.URL.Query().Get("query"); q != `x{a="b"}` {
		t.Errorf("asked %q", q)
	}
	counts, err := p.Counts(t.Context(), "x", "task", "result")
	if err != nil || len(counts) != 1 || counts["a/success"] != 3 {
		t.Errorf("%v, %v", counts, err)
	}
	if _, err := p.Scalar(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "2 results") {
		t.Errorf("a scalar of two: %v", err)
	}
}

func TestRange(t *testing.T) {
	url, _ := serve(t, http.StatusOK, `{"data":{"result":[
		{"metric":{"__name__":"x"},"values":[[1,"2"],[2.5,"3"]]},
		{"metric":{"__name__":"h"},"histograms":[[1,{"count":"4","sum":"0.5","buckets":[[0,"1","2","4"]]}]]}]}}`)
	all, err := ask.Prometheus(url).Range(t.Context(), "x[1m]")
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	if x := all["x"][0]; x.Native || len(x.Points) != 2 || x.Last().Value != 3 || x.Last().At != time.UnixMilli(2500) {
		t.Errorf("%+v", x)
	}
	if h := all["h"][0]; !h.Native || h.Last().Value != 4 || h.Last().Sum != .5 {
		t.Errorf("%+v", h)
	}
	if p := (ask.Series{}).Last(); p.Value != 0 || !p.At.IsZero() {
		t.Errorf("the last of nothing: %v", p)
	}
}

func TestExemplars(t *testing.T) {
	url, asked := serve(t, http.StatusOK, `{"data":[{"seriesLabels":{"task":"a"},"exemplars":[{"labels":{"trace_id":"7"},"value":"0.25","timestamp":1700000000.5}]}]}`)
	list, err := ask.Prometheus(url).Exemplars(t.Context(), "x", time.Unix(10, 0), time.Unix(20, 0))
	if err != nil || len(list) != 1 || list[0].Value != .25 || list[0].Labels["trace_id"] != "7" || list[0].Series["task"] != "a" || list[0].At != time.UnixMilli(1700000000500) {
		t.Errorf("%v, %v", list, err)
	}
	if q := asked.URL.Query(); q.Get("start") != "10" || q.Get("end") != "21" {
		t.Errorf("asked %v", q)
	}
}

func TestSpans(t *testing.T) {
	url, asked := serve(t, http.StatusOK, `{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[
		{"traceId":"t","spanId":"2","parentSpanId":"1","name":"run a","startTimeUnixNano":"2000","endTimeUnixNano":"3500",
		 "attributes":[{"key":"n","value":{"intValue":"7"}}],"events":[{"name":"exception","attributes":[{"key":"k","value":{"stringValue":"v"}}]}],
		 "links":[{"traceId":"t","spanId":"1","attributes":[{"key":"type","value":{"stringValue":"previous"}}]}],"status":{"code":2,"message":"why"}},
		{"traceId":"t","spanId":"1","name":"run a","startTimeUnixNano":"1000","endTimeUnixNano":"1500"}]}]}]}}`)
	found, err := ask.Jaeger(url).Spans(t.Context(), "svc", time.Unix(1, 0), time.Unix(2, 0))
	if err != nil || len(found.All) != 2 || len(found.Traces["t"]) != 2 || found.All[0].ID != "1" {
		t.Fatal(found, err)
	}
	s := found.ByID["2"]
	if s.Parent != "1" || !s.IsError || s.StatusText != "why" || s.Duration() != 1500 || s.Number("n") != 7 || s.Number("none") != 0 {
		t.Errorf("%+v", s)
	}
	if s.Links[0].ID != "1" || s.Links[0].Attrs["type"] != "previous" || s.Events[0].Attrs["k"] != "v" {
		t.Errorf("%+v", s)
	}
	if q := asked.URL.Query(); q.Get("query.service_name") != "svc" || q.Get("query.raw_traces") != "true" {
		t.Errorf("asked %v", q)
	}
}

func TestWhatGoesWrong(t *testing.T) {
	for name, c := range map[string]struct {
		code       int
		text, want string
	}{
		"a refusal":       {http.StatusBadRequest, "no such function\nat 1:1", "HTTP 400: no such function"},
		"no JSON":         {http.StatusOK, "<html>", "GET http"},
		"no number":       {http.StatusOK, `{"data":{"result":[{"value":[1,"?"]}]}}`, "x: "},
		"a server's name": {http.StatusInternalServerError, "", "HTTP 500"},
	} {
		url, _ := serve(t, c.code, c.text)
		if _, err := ask.Prometheus(url).Query(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	url, _ := serve(t, http.StatusOK, `{}`)
	if _, err := ask.Jaeger(url).Spans(t.Context(), "svc", time.Time{}, time.Time{}); err == nil || !strings.Contains(err.Error(), "svc") {
		t.Errorf("no spans: %v", err)
	}
	if code, body, err := ask.Request(t.Context(), http.MethodPost, url); code != http.StatusOK || body != "{}" || err != nil {
		t.Errorf("%d, %q, %v", code, body, err)
	}
}
