package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	maxAnswer     = 1 << 20   // bytes of an answer that are read
	maxRetryAfter = time.Hour // longest Retry-After that a server is granted
	userAgent     = "taskvisor-uptime"
)

// prober checks targets over HTTP.
type prober struct {
	base   *http.Transport
	tracer trace.TracerProvider
}

func newProber(tracer trace.TracerProvider) *prober {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableKeepAlives = true // a check is of the way to the server too
	base.MaxResponseHeaderBytes = 64 << 10
	return &prober{base: base, tracer: tracer}
}

// transport returns a transport for u: what is above [disclose] sees only what
// may be shown, so neither spans nor errors can leak the rest. There is no
// http.Client on top, hence no redirects: a redirect is the answer.
func (p *prober) transport(full *url.URL) http.RoundTripper {
	return otelhttp.NewTransport(disclose{p.base, full}, otelhttp.WithTracerProvider(p.tracer))
}

// check returns the work of watching t: one GET per attempt, with the attempt's
// context, so that a timeout or a stop ends the request and the request's span
// nests in the attempt's.
func (p *prober) check(t target) taskvisor.Func {
	if t.probe != nil {
		return t.probe
	}
	rt := p.transport(t.full)
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.shown.String(), nil)
		if err != nil {
			return taskvisor.Fatal(errURL)
		}
		return exchange(rt, req)
	}
}

// exchange sends req and makes an error of an answer that is not good.
func exchange(rt http.RoundTripper, req *http.Request) error {
	req.Header.Set("User-Agent", userAgent)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return judge(resp)
}

// judge says what an answer means for the task: 410 Gone ends it, Retry-After
// sets the next delay, any other status from 400 on is a plain failure.
func judge(resp *http.Response) error {
	if resp.StatusCode < 400 {
		return nil
	}
	err := statusError(resp.StatusCode)
	if resp.StatusCode == http.StatusGone {
		return taskvisor.Fatal(err)
	}
	if s, parseErr := strconv.Atoi(resp.Header.Get("Retry-After")); parseErr == nil && s >= 0 {
		return taskvisor.RetryAfter(min(time.Duration(min(s, 1<<20))*time.Second, maxRetryAfter), err)
	}
	return err
}

// statusError is the status of an answer that is not good.
type statusError int

// Error returns, for example, "HTTP 503 Service Unavailable".
func (e statusError) Error() string {
	return fmt.Sprintf("HTTP %d %s", int(e), http.StatusText(int(e)))
}

// ErrorType is the error.type of spans, as OpenTelemetry wants it for HTTP.
func (e statusError) ErrorType() string { return strconv.Itoa(int(e)) }

// disclose is the one place where a target's credentials are used: it sends the
// request that it gets to the real URL.
type disclose struct {
	base http.RoundTripper
	full *url.URL
}

// RoundTrip implements [http.RoundTripper].
func (d disclose) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	u := *d.full
	r.URL, r.Host = &u, ""
	if u.User != nil {
		password, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), password)
		u.User = nil
	}
	return d.base.RoundTrip(r)
}

// healthcheck asks a running program at addr whether it is well.
func healthcheck(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+localAddr(addr)+"/readyz", nil)
	if err != nil {
		return errors.New("-listen is not an address to ask")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("not well: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not well: %w", statusError(resp.StatusCode))
	}
	return nil
}
