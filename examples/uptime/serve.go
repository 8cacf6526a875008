package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	maxHeader = 16 << 10
	maxBody   = 16 << 10

	// longestWait bounds a check that its caller waits for; it is below the
	// server's write timeout.
	longestWait = 20 * time.Second
)

// limited returns a server for h that a slow or talkative client cannot tie up.
func limited(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           http.MaxBytesHandler(h, maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      longestWait + 10*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
	}
}

// handler is the program's HTTP interface. It works from before the supervisor
// starts until after it has ended.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metricsHandler(a.registry))
	mux.Handle("/livez", a.health.Live())
	mux.Handle("/readyz", a.health.Ready())
	mux.Handle("GET /summary", byLocalName(http.HandlerFunc(a.summarize)))
	mux.Handle("/", a.page)
	// A page of another site must not make a visitor's browser start checks.
	check := http.NewCrossOriginProtection().Handler(http.HandlerFunc(a.check))
	mux.Handle("POST /check", byLocalName(otelhttp.NewHandler(check, "check now", otelhttp.WithTracerProvider(a.tracer))))
	return secured(mux)
}

// secured forbids browsers to make anything of what is no page; the page has a policy
// of its own.
func secured(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.ServeHTTP(w, r)
	})
}

func (a *app) summarize(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, a.tally.Summary(a.sup.Snapshot()))
}

// checkReply is the answer to POST /check. Outcome and Error are empty while
// the check waits or runs.
type checkReply struct {
	Target  string           `json:"target"`
	ID      taskvisor.TaskID `json:"id,omitempty"`
	State   string           `json:"state,omitempty"`
	Outcome string           `json:"outcome,omitempty"`
	Error   string           `json:"error,omitempty"`
}

// check submits a check of ?target=NAME under the target's slot. The policy is
// Coalesce: of many impatient callers one check runs and one waits; who waited
// before is superseded, as the later check will know better. With wait=1 the
// answer comes with the outcome; policy=replace stops a check that is under way
// and starts anew, policy=join shares its outcome, and so on.
func (a *app) check(w http.ResponseWriter, r *http.Request) {
	t, ok := a.targets[r.FormValue("target")]
	if !ok {
		reply(w, http.StatusNotFound, checkReply{Error: "no such target"})
		return
	}
	policy := taskvisor.Coalesce
	if label := r.FormValue("policy"); label != "" && policy.UnmarshalText([]byte(label)) != nil {
		reply(w, http.StatusBadRequest, checkReply{Target: t.name, Error: "no such policy"})
		return
	}
	h, err := a.sup.Submit(r.Context(), taskvisor.Submission{
		Task:      taskvisor.Once("check "+t.name, a.prober.check(t)).With(t.opts...),
		Slot:      t.name,
		Admission: policy,
	})
	if err != nil {
		reply(w, http.StatusServiceUnavailable, checkReply{Target: t.name, Error: err.Error()})
		return
	}
	if r.FormValue("wait") == "1" {
		ctx, cancel := context.WithTimeout(r.Context(), longestWait)
		defer cancel()
		_, _ = h.Wait(ctx) // a wait that was too short shows as an answer without outcome
	}
	a.replyOutcome(w, t, h)
}

func (a *app) replyOutcome(w http.ResponseWriter, t target, h *taskvisor.Handle) {
	answer := checkReply{Target: t.name, ID: h.ID(), State: h.Status().State.String()}
	code := http.StatusAccepted
	if o, done := h.Outcome(); done {
		code = http.StatusOK
		answer.Outcome, answer.Error = o.Kind.String(), reason(o.Err)
		if o.Kind == taskvisor.OutcomeRejected {
			code = http.StatusConflict
		}
	}
	reply(w, code, answer)
}

// reply writes v as JSON. The default escaping of < and > stays on, for clients
// that guess types.
func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// localAddr turns an address to listen on into one to ask.
func localAddr(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
