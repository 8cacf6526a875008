package livesub

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

const (
	answerWait  = 5 * time.Second  // for others' answers to be made
	writeWithin = 30 * time.Second // then a slow reader is let go
	maxBody     = 16 << 10         // of a form
)

//go:embed assets
var assets embed.FS

// assetTypes are the files that the page is made of, which change only with the
// program.
var assetTypes = map[string]string{
	"style.css": "text/css; charset=utf-8",
	"live.js":   "text/javascript; charset=utf-8",
	"icon.svg":  "image/svg+xml",
	"alarm.svg": "image/svg+xml",
}

// ServeHTTP answers a request; see the package comment for the addresses. It
// implements [http.Handler] and is safe for concurrent use.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if !p.allowedHost(r) {
		refuse(w, http.StatusForbidden, "this page is served on a loopback address, and answers to loopback names only")
		return
	}
	last := path.Base("/" + r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") || r.URL.Path == "" {
		last = ""
	}
	if last == "action" {
		p.action(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD change nothing")
		return
	}
	switch last {
	case "":
		if !toFolder(w, r) {
			p.inTurn(w, r, p.index)
		}
	case "events":
		p.inTurn(w, r, p.events)
	case "incident":
		if p.open == nil {
			refuse(w, http.StatusNotFound, "no incidents are kept")
			return
		}
		p.open.ServeHTTP(w, r)
	default:
		if assetTypes[last] != "" {
			asset(w, r, last)
		} else {
			refuse(w, http.StatusNotFound, "no such page; the address of the page itself ends in a slash")
		}
	}
}

// secure forbids browsers to run, embed, keep or guess anything that is not the
// page's own.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// allowedHost guards a loopback listener against DNS rebinding: a page of another
// site whose name suddenly means 127.0.0.1 is, to the browser, the same site, and
// gives itself away by its name alone.
func (p *Page) allowedHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !loopback(local.String()) {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || loopback(r.Host) || p.hosts[host]
}

// loopback reports whether addr, with or without a port, is a loopback address.
func loopback(addr string) bool {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return a.Addr().Unmap().IsLoopback()
	}
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// toFolder sends a browser that asked without the last slash to the address with
// one, where relative links work. It looks at the address as it was sent: prefixes
// may have been stripped from the other one.
func toFolder(w http.ResponseWriter, r *http.Request) bool {
	sent, err := url.ParseRequestURI(r.RequestURI)
	if err != nil || sent.Path == "" || strings.HasSuffix(sent.Path, "/") || r.URL.Path != "" {
		return false
	}
	to := "./" + url.PathEscape(path.Base(sent.Path)) + "/"
	if sent.RawQuery != "" {
		to += "?" + sent.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusPermanentRedirect)
	return true
}

// inTurn has at most maxAnswers requests be answered at once, however many come.
func (p *Page) inTurn(w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
	timer := time.NewTimer(answerWait)
	defer timer.Stop()
	select {
	case p.answers <- struct{}{}:
	case <-r.Context().Done():
		return
	case <-timer.C:
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "too many ask at once")
		return
	}
	made := &made{header: w.Header(), status: http.StatusOK}
	func() {
		defer func() { <-p.answers }()
		answer(made, r)
	}()
	// The answer is sent without the turn: a slow reader holds up nobody.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)) // not every server can
	w.WriteHeader(made.status)
	_, _ = w.Write(made.body.Bytes()) // the client may be gone
}

// made is an answer that is not sent yet.
type made struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (m *made) Header() http.Header         { return m.header }
func (m *made) WriteHeader(status int)      { m.status = status }
func (m *made) Write(b []byte) (int, error) { return m.body.Write(b) }

// unchanged answers 304 if the client has what has the tag.
func unchanged(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", tag)
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimSpace(known); known == "*" || known == tag {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// send writes an answer whose length is known.
func send(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

// refuse says in a sentence why there is no answer. It repeats nothing of the
// question.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(why + "\n"))
}

func sendJSON(w http.ResponseWriter, r *http.Request, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // escapes < and >, for clients that guess types
	if err := enc.Encode(v); err != nil {
		refuse(w, http.StatusInternalServerError, "the answer could not be made")
		return
	}
	send(w, r, "application/json", b.Bytes())
}

// asset answers with a file of the page, which may be kept: its address changes with
// its content.
func asset(w http.ResponseWriter, r *http.Request, name string) {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		refuse(w, http.StatusNotFound, "no such page")
		return
	}
	if r.URL.RawQuery != "" {
		w.Header().Set("Cache-Control", "private, max-age=86400")
	}
	send(w, r, assetTypes[name], body)
}

// assetTag is a short name of an asset's content.
func assetTag(name string) string {
	body, _ := assets.ReadFile("assets/" + name) // a name of the template's: it exists
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}
