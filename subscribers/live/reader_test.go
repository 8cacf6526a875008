package livesub_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestOrdersAreNoErrors: the cause of an order does not take the place of the task's
// last error, whether errors pass a formatter or not.
func TestOrdersAreNoErrors(t *testing.T) {
	plain := livesub.New(livesub.WithActions(allowed))
	formatted := livesub.New(livesub.WithActions(allowed), livesub.WithErrorFormatter(func(err error) string { return "formatted " + err.Error() }))
	for want, page := range map[string]*livesub.Page{"boom": plain, "formatted boom": formatted} {
		started(t, page, func(sup *taskvisor.Supervisor) {
			h := add(t, sup, taskvisor.Restartable("t", fail, taskvisor.ConstantBackoff(time.Hour)))[0]
			if w := post(page, "/x/action", "do", "pause", "id", fmt.Sprint(h.ID())); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			later(time.Second)
			if got := look(t, page, "").named(t, "t").LastError; got != want {
				t.Errorf("last error %q, want %q", got, want)
			}
		})
	}
}

// TestAllowedHosts: names of hosts are the same in capitals and with a last dot, and
// nothing that merely begins like one is let through.
func TestAllowedHosts(t *testing.T) {
	page := livesub.New(livesub.WithAllowedHosts("Ops.Example."))
	for _, local := range []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv4(127, 0, 0, 1).To16(), net.IPv6loopback} {
		for host, want := range map[string]int{"ops.example": 200, "OPS.example:8080": 200, "ops.example.": 200, "ops.example.evil": 403, "evil": 403} {
			r := httptest.NewRequest("GET", "/x/", nil)
			r.Host = host
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: local, Port: 80}))
			w := httptest.NewRecorder()
			page.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s on %s: %d, want %d", host, local, w.Code, want)
			}
		}
	}
}

// TestTagDependsOnTheReader: who may act from now on is shown the buttons, although
// nothing has happened.
func TestTagDependsOnTheReader(t *testing.T) {
	may := false
	page := livesub.New(livesub.WithActions(func(*http.Request) (string, bool) { return "alice", may }))
	started(t, page, func(*taskvisor.Supervisor) {
		tag := ask(page, "GET", "/x/").Header().Get("ETag")
		if w := ask(page, "GET", "/x/", "If-None-Match", tag); w.Code != http.StatusNotModified {
			t.Errorf("nothing happened: %d", w.Code)
		}
		may = true
		if w := ask(page, "GET", "/x/", "If-None-Match", tag); w.Code != http.StatusOK {
			t.Errorf("the reader may act now: %d", w.Code)
		}
	})
}
