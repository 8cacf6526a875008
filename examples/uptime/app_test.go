package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/taskvisor/taskvisor-go/examples/internal/tally"
)

// watched is a writer that tells when a text was written.
type watched struct {
	mu     sync.Mutex // guards the fields below
	b      bytes.Buffer
	awaits map[string]chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	for text, seen := range w.awaits {
		if strings.Contains(w.b.String(), text) {
			close(seen)
			delete(w.awaits, text)
		}
	}
	return len(p), nil
}

// seen returns a channel that is closed when text has been written.
func (w *watched) seen(text string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.awaits == nil {
		w.awaits = map[string]chan struct{}{}
	}
	w.awaits[text] = make(chan struct{})
	return w.awaits[text]
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// TestThreeSecondsOfTheDemo runs the program as a user would, and compares what
// /metrics says after the end with what the program counted itself. On a busy machine
// it takes longer than three seconds until everything has happened.
func TestThreeSecondsOfTheDemo(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	var missing string
	for _, span := range []string{"3s", "10s", "30s"} {
		if missing = missingIn(demoFor(t, span)); missing == "" {
			return
		}
	}
	t.Error(missing)
}

// demoFor runs the demo for that long and returns its counts.
func demoFor(t *testing.T, span string) tally.Summary {
	t.Helper()
	file := filepath.Join(t.TempDir(), "summary.json")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out, stderr watched
	lingering := out.seen("serving the final values")
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, strings.Fields("-for "+span+" -linger 1h -interval 100ms -timeout 500ms -backoff 20ms -backoff-max 200ms -listen 127.0.0.1:0 -log json -summary "+file), &out, &stderr)
	}()
	select {
	case <-lingering:
	case c := <-code:
		t.Fatalf("ended with %d: %s%s", c, &out, &stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sum tally.Summary
	if err := json.Unmarshal(text, &sum); err != nil {
		t.Fatal(err)
	}
	base := "http://" + regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(out.String())
	compareWithMetrics(t, sum, fetch(t, base+"/metrics"))
	if page := fetch(t, base+"/"); !strings.Contains(page, `<h2>uptime</h2><span class="st stopped">`) {
		t.Errorf("the page of a stopped program:\n%s", page)
	}
	cancel()
	if c := <-code; c != 0 || stderr.String() != "" {
		t.Errorf("exit status %d, standard error %q", c, &stderr)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	checkCounts(t, sum)
	return sum
}

// missingIn says which of the demo's troubles has not shown; "" if all have.
func missingIn(sum tally.Summary) string {
	seen := map[string]uint64{}
	for _, row := range sum.Attempts {
		for outcome, n := range row {
			seen[outcome] += n
		}
	}
	for _, outcome := range []string{"success", "failure", "fatal", "timeout", "panic"} {
		if seen[outcome] == 0 {
			return fmt.Sprintf("no attempt ended as %s: %v", outcome, seen)
		}
	}
	if sum.Ended["gone"].Outcome != "fatal" || sum.Ended["refused"].Outcome != "failed" || sum.Ended["refused"].Attempts != 6 {
		return fmt.Sprintf("gone: %+v, refused: %+v", sum.Ended["gone"], sum.Ended["refused"])
	}
	return ""
}

// checkCounts holds the conservation laws.
func checkCounts(t *testing.T, sum tally.Summary) {
	t.Helper()
	var attempts uint64
	for _, row := range sum.Attempts {
		for _, n := range row {
			attempts += n
		}
	}
	totals := sum.Totals
	if attempts != totals["started"] || totals["started"] != totals["ended"] || totals["added"] != totals["removed"] ||
		totals["submitted"] != totals["rejected"]+totals["joined"]+totals["from_slots"] {
		t.Errorf("%d attempts were counted, the totals are %v", attempts, totals)
	}
	var ends uint64
	for _, n := range sum.Outcomes {
		ends += n
	}
	if ends != totals["added"] || sum.State != "stopped" {
		t.Errorf("%d tasks ended, %d were added; the state is %s", ends, totals["added"], sum.State)
	}
}

var attemptsLine = regexp.MustCompile(`(?m)^taskvisor_task_attempts_total\{result="(\w+)",supervisor="uptime",task="([^"]+)"\} (\d+)`)

func compareWithMetrics(t *testing.T, sum tally.Summary, metrics string) {
	t.Helper()
	lines := attemptsLine.FindAllStringSubmatch(metrics, -1)
	if len(lines) < 6*11 {
		t.Errorf("only %d series of attempts: outcomes start at zero for every task", len(lines))
	}
	for _, m := range lines {
		n, err := strconv.ParseUint(m[3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if counted := sum.Attempts[m[2]][m[1]]; counted != n {
			t.Errorf("%s/%s: /metrics has %d, the program counted %d", m[2], m[1], n, counted)
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: HTTP %d, %v", url, resp.StatusCode, err)
	}
	return string(text)
}

// TestInterruptSaysWhoWasStuck sends Ctrl-C to a process while a probe ignores
// its context for longer than the grace.
func TestInterruptSaysWhoWasStuck(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := program(ctx, strings.Fields("-listen 127.0.0.1:0 -grace 300ms -interval 100ms -timeout 200ms")...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var interrupted time.Time
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(&text, lines.Text())
		if interrupted.IsZero() && strings.Contains(lines.Text(), "stuck     stubborn: ") {
			interrupted = time.Now()
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // its exit status is what is looked at
	took := time.Since(interrupted)
	if code := cmd.ProcessState.ExitCode(); code != 1 || interrupted.IsZero() {
		t.Fatalf("exit status %d:\n%s%s", code, &text, &stderr)
	}
	if !strings.Contains(stderr.String(), `grace of 300ms exceeded by "stubborn"`) {
		t.Errorf("standard error: %s", &stderr)
	}
	if !regexp.MustCompile(`stuck +stubborn, attempt \d+, in .*stubborn\.func`).MatchString(text.String()) {
		t.Errorf("it does not say who was stuck, and where:\n%s", &text)
	}
	if took > 30*time.Second { // that it did not wait for the body is what it has just said
		t.Errorf("it took %s to stop with a grace of 300ms", took)
	}
}

// TestNobodyLeft: the program fails when it has given all targets up, and only then.
func TestNobodyLeft(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer srv.Close()
	for targets, want := range map[string]struct {
		span string
		code int
		says string
	}{
		"a=" + srv.URL + "/gone":                        {"1h", 1, "no target is left to watch"}, // it ends by itself
		"a=" + srv.URL + "/good b=" + srv.URL + "/gone": {"1s", 0, ""},
		"b=" + srv.URL + "/gone a=" + srv.URL + "/good": {"1s", 0, ""},
	} {
		var stderr watched
		code := run(context.Background(), strings.Fields("-for "+want.span+" -listen 127.0.0.1:0 "+targets), io.Discard, &stderr)
		if code != want.code || !strings.Contains(stderr.String(), want.says) {
			t.Errorf("%s: exit status %d, %q, want %d and %q", targets, code, &stderr, want.code, want.says)
		}
	}
}

// TestHealthcheck asks a running program, and one that is not there.
func TestHealthcheck(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	addr := srv.Listener.Addr().String()
	if code := run(context.Background(), []string{"-healthcheck", "-listen", addr}, io.Discard, io.Discard); code != 0 {
		t.Errorf("a well program: exit status %d", code)
	}
	srv.Close()
	if code := run(context.Background(), []string{"-healthcheck", "-listen", addr}, io.Discard, io.Discard); code != 1 {
		t.Errorf("no program: exit status %d", code)
	}
}

// linesNameTheirSpans demands that log lines about an attempt lead to its span.
func linesNameTheirSpans(t *testing.T, log string, spans tracetest.SpanStubs) {
	t.Helper()
	known := map[string]string{} // "task attempt" by trace and span
	for _, s := range spans {
		attrs := map[string]string{}
		for _, kv := range s.Attributes {
			attrs[string(kv.Key)] = kv.Value.String()
		}
		known[s.SpanContext.TraceID().String()+s.SpanContext.SpanID().String()] = attrs["taskvisor.task.name"] + " " + attrs["taskvisor.attempt.number"]
	}
	seen := 0
	for text := range strings.Lines(log) {
		var l struct {
			Task    string `json:"task"`
			Attempt int    `json:"attempt"`
			Trace   string `json:"trace_id"`
			Span    string `json:"span_id"`
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.Task == "" || l.Attempt == 0 {
			continue
		}
		seen++
		if want := fmt.Sprint(l.Task, " ", l.Attempt); known[l.Trace+l.Span] != want {
			t.Errorf("the span of the line is that of %q: %s", known[l.Trace+l.Span], text)
		}
	}
	if seen < 3 {
		t.Errorf("%d lines about attempts:\n%s", seen, log)
	}
}

// TestSecretsStayInside runs targets whose URLs hold secrets, good and bad ones,
// and looks for the secrets in everything that comes out.
func TestSecretsStayInside(t *testing.T) {
	const secret = "hunter2"
	var mu sync.Mutex
	arrived := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		mu.Lock()
		arrived[user+" "+password+" "+r.URL.RequestURI()]++
		mu.Unlock()
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	args := []string{
		"http://me:" + secret + "@" + host + "/good?token=" + secret, "http://" + secret + "@" + host + "/bad?" + secret + "#" + secret,
		"named=http://" + host + "/" + secret, "http://me:" + secret + "@127.0.0.1:1/refused?k=" + secret,
	}
	wanted := []string{"me hunter2 /good?token=hunter2", "hunter2  /bad?hunter2", "  /hunter2", "me hunter2 /hunter2"}
	missing := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(slices.Clone(wanted), func(request string) bool { return arrived[request] > 0 })
	}
	for _, format := range []string{"text", "json"} {
		exporter := tracetest.NewInMemoryExporter()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
		cfg, err := parseFlags(append([]string{"-for", "30s", "-level", "debug", "-log", format, "-interval", "50ms", "-backoff", "10ms",
			"-webhook", "http://me:" + secret + "@" + host + "/" + secret}, args...), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out watched
		a, err := newApp(cfg, tracer, &out)
		if err != nil {
			t.Fatal(err)
		}
		proves := func() bool {
			return len(exporter.GetSpans()) >= 10 && strings.Contains(out.String(), mask) && strings.Count(out.String(), `"attempt":`)+strings.Count(out.String(), " failed ") >= 3
		}
		ctx, enough := context.WithCancel(context.Background())
		go func() { // ends with the run, at the latest
			for begun := time.Now(); ctx.Err() == nil && (time.Since(begun) < 500*time.Millisecond || len(missing()) > 0 || !proves()); {
				time.Sleep(5 * time.Millisecond)
			}
			enough()
		}()
		if err := a.run(ctx, srv.Listener.Addr()); err != nil {
			t.Fatal(err)
		}
		enough()
		spans := exporter.GetSpans()
		for what, text := range map[string]string{
			"log": out.String(), "page": ask(a, "GET", "/").Body.String(), "incidents": incidents(t, a), "counts": ask(a, "GET", "/summary").Body.String(),
			"metrics": ask(a, "GET", "/metrics").Body.String(), "spans": fmt.Sprintf("%+v", spans),
		} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s, %s: a secret came out: …%s…", format, what, text[max(0, i-80):i+20])
			}
		}
		if format == "json" {
			linesNameTheirSpans(t, out.String(), spans)
		}
		if !proves() {
			t.Errorf("%d spans and the log\n%s\nprove nothing", len(spans), &out)
		}
	}
	if lacks := missing(); len(lacks) > 0 {
		t.Errorf("no request of %q arrived, but %v", lacks, arrived)
	}
}
