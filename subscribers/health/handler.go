package healthsub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maxLines is how many reasons a plain answer gives.
const maxLines = 10

// Live returns the handler for liveness probes: 200, or 503 when a restart of the
// process would help. It works before the supervisor starts and after it has ended.
func (h *Health) Live() http.Handler {
	return h.handler("live", "not live", func(st *Status) bool { return st.Live }, func(why *Reason) bool { return why.Unlive })
}

// Ready returns the handler for readiness probes: 200, or 503 when no work should be
// sent here. It works before the supervisor starts and after it has ended.
func (h *Health) Ready() http.Handler {
	return h.handler("ready", "not ready", func(st *Status) bool { return st.Ready }, func(why *Reason) bool { return why.Unready })
}

func (h *Health) handler(yes, no string, well func(*Status) bool, counts func(*Reason) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Cache-Control", "no-store")
		head.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			head.Set("Allow", "GET, HEAD")
			http.Error(w, "GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		st := h.Status()
		code, word := http.StatusOK, yes
		if !well(&st) {
			code, word = http.StatusServiceUnavailable, no
		}
		body := st.text(word, counts)
		head.Set("Content-Type", "text/plain; charset=utf-8")
		if r.URL.Query().Has("verbose") {
			body, _ = json.Marshal(st) // of strings and times: it cannot fail
			body = append(body, '\n')
			head.Set("Content-Type", "application/json")
		}
		head.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(code)
		if r.Method == http.MethodGet {
			_, _ = w.Write(body) // the prober may be gone
		}
	})
}

// text is a word, and a line for each reason that counts.
func (st *Status) text(word string, counts func(*Reason) bool) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, word)
	n := 0
	for i := range st.Reasons {
		if why := &st.Reasons[i]; counts(why) {
			if n++; n <= maxLines {
				fmt.Fprintln(&b, why.line(st.Time))
			}
		}
	}
	if n > maxLines || n == maxLines && st.LeftOut > 0 {
		fmt.Fprintln(&b, "and others")
	}
	return b.Bytes()
}

// line is the reason on one line. Names have no control characters.
func (why *Reason) line(now time.Time) string {
	var b bytes.Buffer
	for _, part := range []string{why.Supervisor, why.Task} {
		if part != "" {
			fmt.Fprintf(&b, "%s: ", part)
		}
	}
	b.WriteString(string(why.Problem))
	if why.Gate != "" {
		fmt.Fprintf(&b, ", waits for %s", why.Gate)
	}
	if !why.Since.IsZero() {
		fmt.Fprintf(&b, ", for %s", max(0, now.Sub(why.Since)).Round(time.Second))
	}
	return b.String()
}
