package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestOperatorIsOnThisMachine: a proxy on it asks for others, and says so.
func TestOperatorIsOnThisMachine(t *testing.T) {
	for _, c := range []struct {
		remote, header string
		want           bool
	}{
		{"127.0.0.1:1234", "", true}, {"[::1]:1234", "", true}, {"[::ffff:127.0.0.1]:1234", "", true}, {"127.0.0.1:1234", "X-Other", true},
		{"192.0.2.1:1234", "", false}, {"", "", false}, {"@", "", false},
		{"127.0.0.1:1234", "Forwarded", false}, {"127.0.0.1:1234", "x-forwarded-for", false},
		{"[::1]:1234", "X-Real-IP", false}, {"127.0.0.1:1234", "Via", false},
	} {
		r := httptest.NewRequest("POST", "/action", nil)
		r.RemoteAddr = c.remote
		if c.header != "" {
			r.Header.Set(c.header, "")
		}
		if _, ok := operator(r); ok != c.want {
			t.Errorf("from %q with %q: %v", c.remote, c.header, ok)
		}
	}
}

// TestRebinding: on a loopback address a page of another site cannot, by a name of its own
// that means this machine, start checks or read what they found. Metrics and probes are
// for programs, which come by any name.
func TestRebinding(t *testing.T) {
	started(t, func(t *testing.T, a *app) {
		code := func(method, path, host string, local net.IP) int {
			r := httptest.NewRequest(method, path, nil)
			r.Host = host
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: local, Port: 8484}))
			w := httptest.NewRecorder()
			a.handler().ServeHTTP(w, r)
			return w.Code
		}
		guarded := map[string]string{"/": "GET", "/summary": "GET", "/check?target=good&wait=1": "POST"}
		for path, method := range guarded {
			for _, host := range []string{"evil.example", "evil.example:8484", "localhost.evil.example", "10.0.0.1", ""} {
				if got := code(method, path, host, net.IPv4(127, 0, 0, 1)); got != http.StatusForbidden {
					t.Errorf("%s by %q: %d", path, host, got)
				}
			}
			for _, host := range []string{"localhost:8484", "LOCALHOST.", "app.localhost", "127.0.0.1:8484", "[::1]:8484", "[::1]"} {
				if got := code(method, path, host, net.IPv6loopback); got != http.StatusOK {
					t.Errorf("%s by %q: %d", path, host, got)
				}
			}
			if got := code(method, path, "uptime.example", net.IPv4(10, 0, 0, 1)); got != http.StatusOK {
				t.Errorf("%s on another address: %d", path, got)
			}
		}
		for _, path := range []string{"/metrics", "/livez", "/readyz"} {
			if got := code("GET", path, "host.docker.internal:8484", net.IPv4(127, 0, 0, 1)); got != http.StatusOK {
				t.Errorf("%s: %d", path, got)
			}
		}
	}, probed("good", func(context.Context) error { return nil }))
}
