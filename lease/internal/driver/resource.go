package driver

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"time"
)

// resource is what replicas write to. It keeps every write with its time, and refuses
// those whose token is less than one that it has seen.
type resource struct {
	listener net.Listener

	mu      sync.Mutex // guards the fields below
	highest uint64
	writes  []write
}

type write struct {
	at      time.Time
	replica string
	token   uint64
	note    string // that its term has found
	stale   bool   // and refused: a greater token has been here
}

func newResource() (*resource, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &resource{listener: l}
	// Started here; ends when the listener is closed; nobody waits for it.
	go r.accept()
	return r, nil
}

func (r *resource) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		// Ends with the replica; nobody waits for it.
		go r.serve(conn)
	}
}

// serve takes lines of a name, a token and perhaps a note, and answers each.
func (r *resource) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var w write
		if n, _ := fmt.Sscan(lines.Text(), &w.replica, &w.token, &w.note); n < 2 {
			return
		}
		answer := "ok\n"
		if r.write(w) {
			answer = "stale\n"
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func (r *resource) write(w write) (stale bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.at = time.Now()
	w.stale = w.token < r.highest
	r.highest = max(r.highest, w.token)
	r.writes = append(r.writes, w)
	return w.stale
}

// since returns the writes from then on.
func (r *resource) since(then time.Time) (list []write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.writes {
		if !w.at.Before(then) {
			list = append(list, w)
		}
	}
	return list
}

// fallen counts the terms that began with a token that was no greater than all before:
// what must not be, whatever happens.
func (r *resource) fallen() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	terms := map[string]bool{}
	highest := uint64(0)
	for _, w := range r.writes {
		term := fmt.Sprint(w.replica, " ", w.token)
		if !terms[term] && w.token <= highest {
			n++
		}
		terms[term] = true
		highest = max(highest, w.token)
	}
	return n
}

// last returns the latest write, if there is any.
func (r *resource) last() (write, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.writes) == 0 {
		return write{}, false
	}
	return r.writes[len(r.writes)-1], true
}
