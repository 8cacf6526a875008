package flightsub

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
)

// partTypes are the types of an incident's parts. Nothing in them is a page.
var partTypes = map[string]string{
	documentName: "application/json",
	stacksName:   "text/plain; charset=utf-8",
	traceName:    "application/octet-stream",
}

// List returns the incidents that are kept, the latest first. The slice belongs to the
// caller.
func (r *Recorder) List() []Incident { return r.store.entries() }

// Handler returns a handler that answers GET and HEAD: without a query the list as
// JSON, with ?id=ID the zip file of an incident, with &part=incident.json, stacks.txt or
// trace.out one file of it. It asks nobody for a password.
func (r *Recorder) Handler() http.Handler { return http.HandlerFunc(r.serve) }

func (r *Recorder) serve(w http.ResponseWriter, q *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	query := q.URL.Query()
	if !query.Has("id") {
		head.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(r.List()) // the client may be gone
		return
	}
	k, ok := r.store.get(query.Get("id")) // an id of ours, hence no path of theirs
	var content io.ReadSeeker = bytes.NewReader(k.data)
	if ok && k.data == nil {
		f, err := os.Open(r.store.path(k.ID))
		ok = err == nil // it may have been removed by hand, or by another process
		defer f.Close() // of nil too
		content = f
	}
	if !ok {
		http.Error(w, "no such incident", http.StatusNotFound)
		return
	}
	if query.Has("part") {
		servePart(w, q, query.Get("part"), content, k)
		return
	}
	head.Set("Content-Type", "application/zip")
	head.Set("Content-Disposition", `attachment; filename="`+filePrefix+k.ID+fileSuffix+`"`)
	http.ServeContent(w, q, "", k.Time, content)
}

// servePart answers with one file of the zip.
func servePart(w http.ResponseWriter, q *http.Request, part string, content io.ReadSeeker, k kept) {
	from, ok := content.(io.ReaderAt)
	if !ok || partTypes[part] == "" {
		http.Error(w, "no such part", http.StatusNotFound)
		return
	}
	z, err := zip.NewReader(from, k.Bytes)
	if err != nil {
		http.Error(w, "the incident cannot be read", http.StatusInternalServerError)
		return
	}
	f, err := z.Open(part)
	if err != nil {
		http.Error(w, "the incident has no such part", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", partTypes[part])
	if part == traceName {
		w.Header().Set("Content-Disposition", `attachment; filename="`+filePrefix+k.ID+".trace\"")
	}
	if q.Method != http.MethodHead {
		_, _ = io.Copy(w, f) // the client may be gone
	}
}
